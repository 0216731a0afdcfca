"""The OpenAPI document of the REST side, made from the contract."""

/** Resource names, `voices/ada`, and the ids in them, `ada`. */

/** The name of a resource, which may be given by its id alone. */
export function resourceName(collection: string, nameOrId: string): string {
  return nameOrId === '' || nameOrId.includes('/') ? nameOrId : `${collection}/${nameOrId}`;
}

/** The last part of a name. */
export function idOf(name: string): string {
  return name.slice(name.lastIndexOf('/') + 1);
}

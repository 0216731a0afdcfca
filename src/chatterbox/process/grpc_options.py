"""The gRPC channel arguments of both sides, so that they fit one another."""

# A recording in one message (`CreateVoice`) and what is around it; all others are far smaller.
MAX_MESSAGE_BYTES = 12 * 1024 * 1024 + 64 * 1024
KEEPALIVE_INTERVAL_MS = 20_000
KEEPALIVE_TIMEOUT_MS = 5_000
UPSTREAM_PING_INTERVAL_MS = 2_000
UPSTREAM_PING_TIMEOUT_MS = 3_000
MIN_PING_INTERVAL_MS = 10_000  # below the clients' interval, or they are cut off for pinging

Options = list[tuple[str, int]]


def server_options(*, max_message_bytes: int = MAX_MESSAGE_BYTES) -> Options:
    """Arguments of a server that clients of ours and of others connect to."""
    return [
        *_both_sides(max_message_bytes),
        # A second server on the same port would silently take half of the calls.
        ("grpc.so_reuseport", 0),
        ("grpc.http2.min_ping_interval_without_data_ms", MIN_PING_INTERVAL_MS),
        ("grpc.http2.max_ping_strikes", 0),  # foreign clients ping as they like
    ]


def client_options(*, max_message_bytes: int = MAX_MESSAGE_BYTES) -> Options:
    """Arguments of a channel to such a server."""
    return [
        *_both_sides(max_message_bytes),
        # With window probing a server writes some 6 MB (two minutes of sound) ahead of a listener
        # who has stopped listening; without, 93 KB.
        ("grpc.http2.bdp_probe", 0),
        # A restarted server should be seen within seconds; the defaults grow to two minutes.
        ("grpc.initial_reconnect_backoff_ms", 200),
        ("grpc.min_reconnect_backoff_ms", 200),
        ("grpc.max_reconnect_backoff_ms", 2_000),
    ]


def upstream_options(*, max_message_bytes: int = MAX_MESSAGE_BYTES) -> Options:
    """Arguments of a balancer's channel to a server of ours.

    Its pings are answered by gRPC's own threads, however busy the process: an answer that stays out
    for seconds means that the process or its machine has stopped, and its streams are lost.
    """
    chosen = dict(client_options(max_message_bytes=max_message_bytes))
    chosen |= {
        "grpc.keepalive_time_ms": UPSTREAM_PING_INTERVAL_MS,
        "grpc.http2.ping_timeout_ms": UPSTREAM_PING_TIMEOUT_MS,
        "grpc.use_local_subchannel_pool": 1,
    }
    return list(chosen.items())


def _both_sides(max_message_bytes: int) -> Options:
    return [
        ("grpc.max_receive_message_length", max_message_bytes),
        ("grpc.max_send_message_length", max_message_bytes),
        ("grpc.keepalive_time_ms", KEEPALIVE_INTERVAL_MS),
        ("grpc.http2.ping_timeout_ms", KEEPALIVE_TIMEOUT_MS),  # keepalive_timeout_ms ends nothing
        ("grpc.http2.max_pings_without_data", 0),  # without this it falls silent after two
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.enable_retries", 0),  # a synthesis is not repeated behind the caller's back
    ]

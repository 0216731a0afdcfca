"""Backends that come and go under running calls."""

from typing import Any

import grpc


async def held(client: Any) -> Any:
    """A call that has been answered once and goes on."""
    call = client.call()
    await call.write(b"first")
    assert await call.read() == b"first"
    return call


async def test_calls_on_a_backend_that_was_removed_run_to_their_end(
    balance: Any, backend: Any, other: Any, connect: Any, settled: Any
) -> None:
    async with (
        balance(backend, other, slow_start_s=0) as balancer,
        connect(balancer.address) as client,
    ):
        calls = [await held(client) for _ in range(8)]
        (upstream,) = [each for each in balancer.pool.upstreams if each.address == backend.address]
        balancer.pool.update([other.address])
        for _ in range(10):
            await client.send(b"a")
        assert upstream.calls == backend.active > 1  # nothing new, nothing lost

        for call in calls:
            await call.write(b"second")
            assert await call.read() == b"second"
            await call.done_writing()
            assert await call.read() is grpc.aio.EOF
            assert await call.code() is grpc.StatusCode.OK
        await settled(lambda: upstream.channel.get_state() is grpc.ChannelConnectivity.SHUTDOWN)


async def test_the_channel_to_an_idle_backend_that_was_removed_is_closed(
    balancer: Any, settled: Any
) -> None:
    (upstream,) = balancer.pool.upstreams
    balancer.pool.update([])
    await settled(lambda: upstream.channel.get_state() is grpc.ChannelConnectivity.SHUTDOWN)


async def test_a_backend_that_comes_back_is_another_one(
    balance: Any, backend: Any, connect: Any, settled: Any
) -> None:
    async with balance(backend) as balancer, connect(balancer.address) as client:
        call = await held(client)
        balancer.pool.drain(balancer.pool.upstreams[0], drained=True)
        balancer.pool.update([])
        balancer.pool.update([backend.address])
        await settled(lambda: balancer.pool.is_serving)
        assert await client.send(b"a") == [b"a"]
        assert [each.streams for each in balancer.pool.upstreams] == [0]
        await call.write(b"second")
        assert await call.read() == b"second"
        call.cancel()


async def test_a_second_backend_of_the_same_id_is_passed_over(
    balance: Any, backend: Any, connect: Any
) -> None:
    async with balance(backend) as balancer, connect(balancer.address) as client:
        balancer.pool.update([backend.address, backend.address.replace(".", "-")])
        assert [each.address for each in balancer.pool.upstreams] == [backend.address]
        assert await client.send(b"a") == [b"a"]


async def test_a_new_backend_begins_cold(
    balance: Any, backend: Any, other: Any, connect: Any, settled: Any
) -> None:
    async with (
        balance(backend, slow_start_s=3600) as balancer,
        connect(balancer.address) as client,
    ):
        balancer.pool.upstreams[0].eligible_since_s = 0.0  # long ago
        balancer.pool.update([backend.address, other.address])
        await settled(
            lambda: all(each.eligible_since_s is not None for each in balancer.pool.upstreams)
        )
        calls = [await held(client) for _ in range(20)]
        assert 1 <= other.active <= 3  # a tenth of what the other takes
        for call in calls:
            call.cancel()

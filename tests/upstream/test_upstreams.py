from tests.upstream.conftest import OK, answering


async def test_smoke(gate, origin):
    o = await origin(answering(OK))
    await gate.use(o.model)
    assert await gate.get() == (200, b"ok")
    assert not gate.attempt.reused
    assert await gate.get() == (200, b"ok")
    assert gate.attempt.reused
    assert len(o.peers) == 1

"""Our partitioner is Kafka's default, bit for bit."""

import pytest
from aiokafka.partitioner import DefaultPartitioner
from aiokafka.partitioner import murmur2 as reference
from hypothesis import given
from hypothesis import strategies as st

from services.eventlog.core.murmur2 import murmur2, partition_of

# From Kafka's own UtilsTest.testMurmur2 (Java ints, here unsigned).
JAVA = {
    b"21": -973932308,
    b"foobar": -790332482,
    b"a-little-bit-long-string": -985981536,
    b"a-little-bit-longer-string": -1486304829,
    b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8": -58897971,
    b"abc": 479470107,
}


@pytest.mark.parametrize(("key", "expected"), JAVA.items())
def test_the_vectors_of_kafka(key: bytes, expected: int) -> None:
    assert murmur2(key) == expected & 0xFFFFFFFF


@given(st.binary(max_size=400), st.integers(1, 512))
def test_equals_aiokafka(key: bytes, partitions: int) -> None:
    assert murmur2(key) == reference(key)
    assert partition_of(key, partitions) == DefaultPartitioner()(key, list(range(partitions)), [])


def test_long_keys() -> None:
    for length in (127, 128, 129, 131, 132, 133, 5000):
        assert murmur2(b"\xff" * length) == reference(b"\xff" * length)

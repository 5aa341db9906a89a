"""Which partition does a key go to? Kafka's default partitioner: murmur2 of the key, the sign bit dropped, modulo.

The same keys must meet the same partitions whichever client wrote them, and whichever log stands behind.
Source: org.apache.kafka.common.utils.Utils.murmur2; held to aiokafka's own by a test.
"""

from functools import lru_cache
from struct import Struct, unpack_from
from typing import Final

SEED: Final = 0x9747B28C
M: Final = 0x5BD1E995
MASK: Final = 0xFFFFFFFF
# Keys repeat: a person who clicks twice, a lead that moves. 64 k keys of 40 bytes are about 10 MB.
CACHED_KEYS: Final = 65_536
_LAYOUTS: Final = tuple(Struct(f"<{words}I") for words in range(33))


def murmur2(data: bytes) -> int:
    """The 32-bit hash of `data`, unsigned."""
    length = len(data)
    words = length >> 2
    h = SEED ^ length
    layout = _LAYOUTS[words].unpack_from(data) if words <= 32 else unpack_from(f"<{words}I", data)
    for k in layout:
        k = k * M & MASK  # noqa: PLW2901 the word is mixed in place, as the reference does
        k ^= k >> 24  # noqa: PLW2901
        h = (h * M & MASK) ^ (k * M & MASK)
    rest = length & 3
    if rest:
        h = (h ^ int.from_bytes(data[length - rest :], "little")) * M & MASK
    h = (h ^ (h >> 13)) * M & MASK
    return h ^ (h >> 15)


@lru_cache(maxsize=CACHED_KEYS)
def partition_of(key: bytes, partitions: int) -> int:
    """The partition of `key`, from 0 to `partitions` - 1."""
    return (murmur2(key) & 0x7FFFFFFF) % partitions

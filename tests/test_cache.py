"""What is kept in memory, and what is forgotten."""

from beautynet.web.cache import Cache


def test_the_cache_forgets_what_was_not_asked_for() -> None:
    cache = Cache(10)
    for name in "abc":
        cache.put(name, b"1234")
        cache.get("a")
    assert [cache.get(name) for name in "abc"] == [b"1234", None, b"1234"]
    cache.put("big", b"x" * 11)
    assert cache.get("big") is None

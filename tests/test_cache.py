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


def test_what_is_made_anew_takes_the_place_of_what_was() -> None:
    cache = Cache(10)
    for letter in b"abc":
        cache.put("one", bytes([letter]) * 4)
    cache.put("other", b"1234")
    assert (cache.get("one"), cache.get("other")) == (b"cccc", b"1234")

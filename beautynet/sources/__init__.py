"""Where photos come from: `SOURCES` maps a name to a source. One file, one line each."""

from __future__ import annotations

from beautynet.sources.bing import bing
from beautynet.sources.commons import commons
from beautynet.sources.flickr import flickr
from beautynet.sources.flowers102 import flowers102
from beautynet.sources.folder import folder
from beautynet.sources.inaturalist import inaturalist
from beautynet.sources.openverse import openverse
from beautynet.sources.search import Candidate, Search, Source
from beautynet.sources.urls import urls

SOURCES: dict[str, Source] = {
    "bing": Source(bing),
    "commons": Source(commons, licensed=True),
    "flickr": Source(flickr, licensed=True),
    "flowers102": Source(flowers102),
    "folder": Source(folder, imports=True),
    "inaturalist": Source(inaturalist, licensed=True),
    "openverse": Source(openverse, licensed=True),
    "urls": Source(urls, imports=True),
}

DEFAULT = ("openverse", "commons", "inaturalist", "bing")
"""Those that are searched where none is named."""

__all__ = ["DEFAULT", "SOURCES", "Candidate", "Search", "Source"]

"""Choose how a data set is served, by what it is at rest."""

from typing import Any

from dlcli.batch import Tokens, Translations
from dlcli.data.album import Album
from dlcli.data.crops import Crops
from dlcli.data.loader import Cut, Loader, Resident, Stream, limited
from dlcli.data.prose import Prose
from dlcli.data.reading import Texts, Windows
from dlcli.data.splits import Rest
from dlcli.errors import ConfigError


def serve(split: Rest, **options: Any) -> Loader:
    """Return the loader for what rests in memory, in files, or in one long text."""
    if isinstance(split, Prose) and (limit := options.pop("limit", 1.0)) != 1:
        if split.order == "carried" and options.get("shuffle", True):
            raise ConfigError(f"limit={limit}: a text read on from batch to batch is read whole; set limit=1.0")
        split = limited(split, limit, options.get("seed", 0))
    kinds: dict[type, type[Loader]] = {Album: Stream, Crops: Cut, Prose: Windows, Tokens: Texts, Translations: Texts}
    return kinds.get(type(split), Resident)(split, **options)

"""Let the user's own config directory win over the packaged one; Hydra's `--config-dir` alone only adds names."""

import os

from hydra.core.config_search_path import ConfigSearchPath, SearchPathQuery
from hydra.plugins.search_path_plugin import SearchPathPlugin


class UserDirectory(SearchPathPlugin):
    """Prepend the directory that `--config-dir` named to the search path."""

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        """Called by Hydra before anything is composed."""
        own = os.environ.get("DL_CONF")
        if own:
            search_path.prepend(provider="dl-user", path=f"file://{own}", anchor=SearchPathQuery(provider="main"))

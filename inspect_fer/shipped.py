"""Where the files that come with the package lie: published checkpoints, recipes, app.py."""

import os
from pathlib import Path

PACKAGE = Path(__file__).parent


def shipped_folders(kind: str) -> list[Path]:
    """The folders named `kind` ("checkpoints", "recipes") that there are, the one to prefer first.

    INSPECT_FER_HOME comes before the folder beside the package in a checkout and the one inside an installed package.
    """
    home = os.environ.get("INSPECT_FER_HOME")
    places = ([Path(home).expanduser()] if home else []) + [PACKAGE.parent, PACKAGE / "published"]
    return [place / kind for place in places if (place / kind).is_dir()]


def app_path() -> Path:
    """The dashboard's entry script."""
    return next(place / "app.py" for place in (PACKAGE.parent, PACKAGE / "published") if (place / "app.py").is_file())

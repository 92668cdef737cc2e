"""The package as a whole: what it offers, what importing it costs."""

import subprocess
import sys

import inspect_fer as fer


def test_every_public_name_is_there():
    for name in fer.__all__:
        assert getattr(fer, name) is not None
    assert set(dir(fer)) >= set(fer.__all__)


def test_functions_are_not_hidden_by_submodules():
    code = (
        "import inspect_fer.explain, inspect_fer.predict, inspect_fer as fer\n"
        "assert callable(fer.explain) and callable(fer.predict) and fer.METHODS\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_importing_loads_neither_torch_nor_streamlit():
    code = (
        "import sys, inspect_fer, inspect_fer.cli\n"
        "assert not {'torch', 'streamlit', 'numpy', 'pandas', 'rich'} & set(sys.modules), sorted(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)

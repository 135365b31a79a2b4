"""Compiles the core where `UNPINNED_COMPILE=1` is set while a wheel is built; it takes a C compiler and two minutes.

The same source runs either way: a compiled module stands beside its source, and Python takes it first.
"""

import os
import sysconfig
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

_FOLDERS = ("proxy/responses", "proxy/http")
_MODULES = ("proxy/events.py", "proxy/hints.py", "proxy/report.py")
_INTERPRETED = (
    # They define structures of msgspec's, which are made while the module is read.
    "proxy/responses/body/item.py",
    "proxy/responses/body/member.py",
    "proxy/responses/rewrite/entry.py",
    "proxy/responses/session/reading.py",
    # Only the interpreter gives way.
    "proxy/responses/body/giving_way.py",
)
_BUILD = "build/compiled"


class CompileHook(BuildHookInterface):
    """Adds the compiled modules to a wheel, or beside the sources of an editable installation."""

    def dependencies(self) -> list[str]:
        """What compiles, and what the types are read from."""
        return ["mypy[mypyc]>=2.0", "setuptools>=80", *self.metadata.core.dependencies] if _is_wanted() else []

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile before the wheel is made; `version` tells whether it is an editable one."""
        if not _is_wanted():
            return
        folder = Path(self.root) if version == "editable" else Path(self.root, _BUILD)
        for path in _compiled(Path(self.root), folder):
            if version != "editable":
                build_data["force_include"][str(path)] = path.relative_to(folder).as_posix()
        build_data["pure_python"] = False
        build_data["infer_tag"] = True


def _is_wanted() -> bool:
    return os.environ.get("UNPINNED_COMPILE") == "1"


def _compiled(root: Path, folder: Path) -> list[Path]:
    """The files that were made in `folder`."""
    from mypyc.build import mypycify  # noqa: PLC0415 -- they are there only where it is wanted
    from setuptools import Distribution  # noqa: PLC0415 -- as above

    found = [path.relative_to(root).as_posix() for name in _FOLDERS for path in sorted((root / name).rglob("*.py"))]
    sources = [path for path in found if path not in _INTERPRETED and not path.endswith("__init__.py")]
    here = Path.cwd()
    os.chdir(root)
    try:
        options = ["--config-file=pyproject.toml", *sources, *_MODULES]
        modules = mypycify(options, opt_level="1", target_dir="build/mypyc")
        command = Distribution({"name": "unpinned", "ext_modules": modules}).get_command_obj("build_ext")
        command.build_lib, command.build_temp = str(folder), "build/temp"
        command.ensure_finalized()
        command.run()
    finally:
        os.chdir(here)
    return [path for path in folder.rglob(f"*{sysconfig.get_config_var('EXT_SUFFIX')}") if ".venv" not in path.parts]

"""What a removal breaks: scripts without their interpreter, programs without their shared libraries."""

from __future__ import annotations

from hornet.checks.check import Subject, check
from hornet.formats.elf import ElfError, Linkage, linkage_of
from hornet.formats.image_tree import ImageTree
from hornet.formats.shebang import Interpreter, interpreter_of
from hornet.spec.rules import DanglingDependencies

LINKER_CONFIGURATION = ("/etc/ld.so.conf", "/etc/ld.so.conf.d/*.conf", "/etc/ld-musl-*.path")
EXECUTABLE = 0o111


@check(
    "dangling.interpreter",
    Subject.IMAGE,
    given=lambda spec: spec.dangling_dependencies,
    proves=["dangling-interpreter"],
)
def interpreter_problems(paths: DanglingDependencies, tree: ImageTree) -> list[str]:
    """Executable scripts whose interpreter is not in the image."""
    problems = []
    for path in tree.files:
        if tree.entries[path].mode & EXECUTABLE:
            interpreter = interpreter_of(tree.head(path))
            if interpreter and (missing := _missing(interpreter, paths, tree)):
                problems.append(f"{path}: script needs {missing}, which is not in the image")
    return problems


@check(
    "dangling.library",
    Subject.IMAGE,
    given=lambda spec: spec.dangling_dependencies,
    proves=["dangling-library"],
)
def library_problems(paths: DanglingDependencies, tree: ImageTree) -> list[str]:
    """Programs and libraries that need a shared library or a dynamic linker that is not in the image."""
    directories = [*paths.library_paths, *_configured_directories(tree)]
    problems = []
    for path in tree.files:
        try:
            with tree.open(path) as stream:
                linkage = linkage_of(stream)
        except ElfError as error:
            problems.append(f"{path}: {error.message}")
            continue
        if linkage:
            missing = _missing_libraries(path, linkage, directories, tree)
            problems += [f"{path}: needs {name}, which is not in the image" for name in missing]
    return problems


def _missing(interpreter: Interpreter, paths: DanglingDependencies, tree: ImageTree) -> str | None:
    if tree.resolve(interpreter.path) is None:
        return interpreter.path
    command = interpreter.command
    if command is None or any(tree.resolve(f"{directory}/{command}") for directory in paths.command_paths):
        return None
    return command


def _missing_libraries(path: str, linkage: Linkage, directories: list[str], tree: ImageTree) -> list[str]:
    origin = path.rpartition("/")[0]
    own = [entry.replace("$ORIGIN", origin).replace("${ORIGIN}", origin) for entry in linkage.search]
    places = [*own, *directories]
    return [name for name in linkage.needs if not _found(name, places, tree)]


def _found(name: str, places: list[str], tree: ImageTree) -> bool:
    candidates = [name] if name.startswith("/") else [f"{place}/{name}" for place in places]
    return any(tree.resolve(candidate) for candidate in candidates)


def _configured_directories(tree: ImageTree) -> list[str]:
    texts = (tree.text(path) or "" for path in tree.matching(LINKER_CONFIGURATION))
    return [word for text in texts for word in text.replace(":", "\n").split() if word.startswith("/")]

"""Words from outside are data: whatever they hold, no output obeys it. Each source, through each channel."""

from __future__ import annotations

import gzip
import io
import json
import os
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from rich.table import Table

from hornet.errors import HornetError
from hornet.host.progress import Progress
from hornet.installation import SOURCE
from hornet.results.records import Record
from hornet.text import one_line, printable
from hornet_cli.console import PlainConsole
from reports import markdown, plot_parts
from reports.style import WIDE_IN, to_svg
from tests.support import bundle_samples, ext4_samples
from tests.support import synthetic_run as synthetic
from tests.support.foreign_words import HOSTILE, assert_obeyed_by_nobody
from tests.support.hostile_run import hostile_report, hostile_run

EVERYTHING = " ".join(HOSTILE.values())
A_NAME = EVERYTHING[:150]  # the limit of a record's name, less what follows it there
ANY_TEXT = st.text(st.characters(exclude_categories=())) | st.sampled_from(sorted(HOSTILE.values()))
MARKDOWN = MarkdownIt("commonmark").enable(["table", "strikethrough"])


def run(argv: list[str], workspace: Path, **environment: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        argv,
        cwd=SOURCE,
        env={**os.environ, "PYTHONPATH": str(SOURCE), "HORNET_HOME": str(workspace), **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=120,
    )


def hornetos(*words: str, workspace: Path, **environment: str) -> subprocess.CompletedProcess[bytes]:
    ended = run([sys.executable, "-m", "hornet_cli", *words], workspace, **environment)
    assert_obeyed_by_nobody(ended.stdout)
    assert_obeyed_by_nobody(ended.stderr)
    assert b"Traceback" not in ended.stderr
    return ended


# --- The one function -------------------------------------------------------------------------------------------------


@given(ANY_TEXT)
def test_printable_output_is_complete_and_stable(text: str) -> None:
    shown = printable(text)
    assert_obeyed_by_nobody(shown)
    assert printable(shown) == shown
    assert "\n" not in one_line(text)
    if all(character.isprintable() or character in "\n\t" for character in text):
        assert shown == text


@given(ANY_TEXT, st.integers(0, 40))
def test_limit_is_enforced_and_reported(text: str, limit: int) -> None:
    shown = printable(text, limit)
    cut = len(text) - limit
    assert shown.endswith(f"… ({cut} more characters)") if cut > 0 else shown == printable(text)


@given(ANY_TEXT, ANY_TEXT)
def test_an_error_is_printable(message: str, hint: str) -> None:
    error = HornetError(message, hint)
    assert_obeyed_by_nobody(f"{error}{error.message}{error.hint}{error!r}{error.args}")


@given(ANY_TEXT)
def test_progress_is_one_printable_line(text: str) -> None:
    stream = io.StringIO()
    Progress(stream).say(text)
    assert_obeyed_by_nobody(stream.getvalue())
    assert stream.getvalue().count("\n") == 1


@given(ANY_TEXT)
def test_a_table_on_the_terminal_has_the_text_and_no_markup(text: str) -> None:
    table = Table("Name", text)
    table.add_row("[red]", text)
    console = PlainConsole()
    console.width = 100_000
    with console.capture() as captured:
        console.print(table)
        console.print(text)
    assert_obeyed_by_nobody(captured.get())
    assert "[red]" in captured.get()


# --- Markdown ---------------------------------------------------------------------------------------------------------


def shown_text(source: str) -> tuple[set[str], str]:
    """The kinds of all that Markdown makes of a line, and what a reader sees."""
    (inline,) = [token for token in MARKDOWN.parse(source) if token.type == "inline"]
    return {token.type for token in inline.children or ()}, "".join(token.content for token in inline.children or ())


@given(ANY_TEXT)
def test_markdown_shows_any_text_as_it_is(text: str) -> None:
    source = markdown.as_text(text)
    if not source:
        return
    blocks = [token.type for token in MARKDOWN.parse(source)]
    assert blocks == ["paragraph_open", "inline", "paragraph_close"], source
    kinds, seen = shown_text(source)
    assert kinds <= {"text", "text_special"}
    assert seen == " ".join(printable(text).split())


@given(ANY_TEXT)
def test_table_cell_is_never_split(text: str) -> None:
    tokens = MARKDOWN.parse(f"| a | b |\n|---|---|\n| {markdown.as_text(text)} | x |\n")
    cells = [tokens[place + 1] for place, token in enumerate(tokens) if token.type == "td_open"]
    assert [cell.content for cell in cells][1:] == ["x"]
    assert {token.type for token in cells[0].children or ()} <= {"text", "text_special"}


@pytest.mark.parametrize("address", ["http://x.y", "HTTPS://x.y", "ftp://x.y", "www.x.y", "Www.x.y"])
def test_bare_address_is_not_a_link(address: str) -> None:
    """GitHub links bare addresses: the escaped text contains none."""
    assert not re.search(r"(?i)(https?|ftp)://|www\.", markdown.as_text(f"see {address}"))
    assert shown_text(markdown.as_text(address))[1] == address


# --- Reports ----------------------------------------------------------------------------------------------------------


class Page(HTMLParser):
    """The kinds of tags with their attributes' names, and all text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.kinds: set[tuple[str, ...]] = set()
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.kinds.add((tag, *sorted(name for name, _ in attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.fixture(scope="module")
def benign(tmp_path_factory: pytest.TempPathFactory) -> Page:
    """What the page of a run with harmless words is made of."""
    return Page(hostile_report(tmp_path_factory.mktemp("benign"), "word")[1].html.read_text())


@pytest.mark.parametrize("name", HOSTILE)
def test_foreign_text_is_escaped_in_every_report_file(name: str, benign: Page, tmp_path: Path) -> None:
    run_directory, paths = hostile_report(tmp_path, HOSTILE[name])
    for path in (paths.html, paths.markdown, paths.json, *run_directory.glob("pictures/*.svg")):
        assert_obeyed_by_nobody(path.read_bytes())

    page = Page(paths.html.read_text())
    assert page.kinds <= benign.kinds | {("path", "d"), ("path", "d", "style")}
    assert " ".join(one_line(HOSTILE[name]).split()) in " ".join(page.text.split())

    tokens = MARKDOWN.parse(paths.markdown.read_text())
    inside = [child for token in tokens for child in token.children or ()]
    images = [str(token.attrs["src"]) for token in inside if token.type == "image"]
    assert images
    assert [image for image in images if not re.fullmatch(r"pictures/\w+\.svg", image)] == []
    assert not {"link_open", "html_inline", "html_block", "s_open"} & {token.type for token in [*inside, *tokens]}
    assert not any(token.type == "heading_open" and token.tag not in ("h1", "h2") for token in tokens)

    assert json.loads(paths.json.read_text())["host"]
    assert paths.json.read_text().isascii()
    pictures = list(run_directory.glob("pictures/*.svg"))
    assert pictures
    for picture in pictures:
        assert ET.parse(picture).getroot().tag.endswith("svg")


def test_a_picture_draws_a_formula_as_the_text_that_it_is() -> None:
    record = synthetic.restore_record(seed=1, page_cache=HOSTILE["formulas"])
    drawn = plot_parts.waterfall([record], {"snapshot_restore": "$x^2$"}, WIDE_IN)
    assert drawn
    texts = "".join(ET.fromstring(to_svg(drawn)).itertext())
    assert "$x^2$" in texts
    assert HOSTILE["formulas"] in texts


@pytest.mark.parametrize(
    ("command", "code", "shown"),
    [("report", 0, b"run\\x1b[31m"), ("gate", 1, b"\\x1b]0;owned"), ("capacity", 0, b"run\\x1b[31m")],
)
def test_foreign_text_of_a_run_is_escaped_by_commands(command: str, code: int, shown: bytes, tmp_path: Path) -> None:
    run_directory = hostile_run(tmp_path / "reports" / "run\x1b[31m\u202e", A_NAME)
    ended = hornetos(command, str(run_directory), workspace=tmp_path)
    assert ended.returncode == code, ended
    assert shown in ended.stdout + ended.stderr


def test_records_are_ascii(tmp_path: Path) -> None:
    lines = (hostile_run(tmp_path / "run", A_NAME) / "records.jsonl").read_bytes()
    assert lines.isascii()
    assert_obeyed_by_nobody(lines)
    assert Record.model_validate_json(lines.splitlines()[-1]).name == A_NAME


# --- Images, snapshots, kernels ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("label", ["\x1b[31mroot\x07", "\u202etoor\u2066", "a\nPASS: b", "[bold]x[/]"])
def test_foreign_ext4_label_is_escaped(label: str, tmp_path: Path) -> None:
    image = ext4_samples.make_image(tmp_path / "image.ext4")
    ext4_samples.run("tune2fs", "-L", label, image)
    ext4_samples.debugfs(image, "clri /d5/sub/file")
    for words in (["ext4", str(image)], ["ext4", "--json", str(image)]):
        ended = hornetos(*words, workspace=tmp_path)
        assert ended.returncode == 1
    assert json.loads(ended.stdout)["superblock"]["volume_name"] == label


def test_foreign_label_in_a_seal_error_is_escaped(tmp_path: Path) -> None:
    bundle = bundle_samples.make_bundle(tmp_path / "snapshots" / "v1.0")
    ext4_samples.run("tune2fs", "-L", "\x1b[2Jx\u202ey", bundle.rootfs)
    for words in (["validate", "v1.0"], ["rollback", "v1.0"]):
        ended = hornetos(*words, workspace=tmp_path)
        assert ended.returncode == 1
        assert rb"\x1b[2Jx\u202ey" in ended.stdout


def test_foreign_text_in_a_manifest_is_escaped(tmp_path: Path) -> None:
    bundle = bundle_samples.make_bundle(tmp_path / "snapshots" / "v1.0")
    origin = bundle_samples.ORIGIN.model_copy(update={"lane": A_NAME, "tier": A_NAME})
    bundle.seal("v1.0", origin)
    assert_obeyed_by_nobody((bundle.directory / "manifest.json").read_bytes())
    ended = hornetos("validate", "v1.0", workspace=tmp_path)
    assert ended.returncode == 2
    assert b"unknown lane" in ended.stderr


def test_foreign_text_given_to_adopt_is_escaped(tmp_path: Path) -> None:
    bundle = bundle_samples.make_bundle(tmp_path / "v1.0")
    (bundle.directory / "manifest.json").unlink()
    words = ["--lane", "qemu/tcg", "--tier", "standard", "--vmm-version", EVERYTHING.replace("\x00", "")]
    assert hornetos("adopt", str(bundle.directory), *words, workspace=tmp_path).returncode == 0


@pytest.mark.parametrize("word", [EVERYTHING, EVERYTHING.replace("\n", " ")], ids=["lines", "a line"])
def test_foreign_kernel_configuration_is_escaped(word: str, tmp_path: Path) -> None:
    config = tmp_path / "config.gz"
    text = f"#\n# Linux/x86_64 6.1.9 {word} Kernel Configuration\n#\nCONFIG_TUN={word}\nCONFIG_BRIDGE=y\n"
    config.write_bytes(gzip.compress(text.encode()))
    for words in (["kconfig", str(config)], ["kconfig", "--json", str(config)]):
        assert hornetos(*words, workspace=tmp_path).returncode in (1, 2)


def test_foreign_command_line_argument_is_escaped(tmp_path: Path) -> None:
    word = A_NAME.replace("\x00", "")
    for words in (
        ["validate", word],
        ["gate", word],
        ["kconfig", word],
        [word],
        [f"--{word}"],
        ["--overlay", word, "gate"],
    ):
        assert hornetos(*words, workspace=tmp_path).returncode == 2


def test_non_utf8_argument_is_escaped(tmp_path: Path) -> None:
    ended = hornetos("kconfig", os.fsdecode(b"\xff\xfe\x1b[31m"), workspace=tmp_path)
    assert rb"\udcff\udcfe\x1b[31m" in ended.stderr


def test_ascii_terminal_gets_ascii_output(tmp_path: Path) -> None:
    run_directory = synthetic.make_run(tmp_path / "run")
    ended = hornetos("report", str(run_directory), workspace=tmp_path, PYTHONIOENCODING="ascii")
    assert ended.returncode == 0
    assert ended.stdout.isascii()


# --- Tests ------------------------------------------------------------------------------------------------------------

SAMPLE = """
import sys, logging, pytest
from hornet.errors import GuestError
from hornet_fixtures.assertions import assert_no_problems

WORD = {word!r}

def test_holds(): assert_no_problems([WORD, WORD])
def test_assert(): assert WORD == ""
def test_assert_message(): assert not WORD, WORD
def test_error(): raise GuestError(WORD, WORD)
def test_exception(): raise ValueError(WORD)
def test_skip(): pytest.skip(WORD)
@pytest.mark.xfail(reason=WORD)
def test_xfail(): assert_no_problems([WORD])
def test_captured():
    print(WORD.encode(errors="replace").decode())
    sys.stderr.write(WORD.encode(errors="replace").decode())
    logging.error("%s", WORD)
    assert False
@pytest.mark.parametrize("value", [WORD])
def test_parameter(value): assert not value
@pytest.fixture
def broken(): raise OSError(WORD)
def test_fixture(broken): pass
def test_property(record_property): record_property("guide", WORD)
def test_warning():
    import warnings
    warnings.warn(WORD)
"""


@pytest.mark.parametrize("word", [EVERYTHING, "\udcff\udc1b"], ids=["everything", "surrogates"])
@pytest.mark.parametrize("workers", ["0", "1"])
def test_foreign_text_in_pytest_output_is_escaped(word: str, workers: str, tmp_path: Path) -> None:
    (tmp_path / "test_sample.py").write_text(SAMPLE.format(word=word))
    (tmp_path / "test_uncollected.py").write_text(f"raise ValueError({word!r})\n")
    words = ["-p", "hornet_fixtures.plugin", "-ra", "--continue-on-collection-errors", f"--rootdir={tmp_path}"]
    words += [f"--junitxml={tmp_path}/junit.xml", f"--run-dir={tmp_path}/run", "-n", workers, str(tmp_path)]
    ended = run([sys.executable, "-m", "pytest", *words], tmp_path, PYTHONIOENCODING="utf-8")
    assert b"INTERNALERROR" not in ended.stdout
    assert_obeyed_by_nobody(ended.stdout)
    assert_obeyed_by_nobody((tmp_path / "junit.xml").read_bytes())
    assert len(list(ET.parse(tmp_path / "junit.xml").getroot().iter("testcase"))) == SAMPLE.count("def test_") + 1


def test_foreign_file_names_of_an_image_are_escaped(tmp_path: Path) -> None:
    """A file name may contain any byte except slash and zero."""
    tree = tmp_path / "tree" / "evil"
    tree.mkdir(parents=True)
    (tree.parent / "usr").mkdir()
    for word in HOSTILE.values():
        (tree / word.replace("/", "_").replace("\x00", "")[:80]).touch()
    (Path(os.fsdecode(os.fsencode(tree) + b"/\xff\xfe\x1b[31m"))).touch()
    image = tmp_path / "image.ext4"
    ext4_samples.run("mkfs.ext4", "-q", "-F", "-d", tmp_path / "tree", image, "8M")
    (tmp_path / "team.toml").write_text(
        '[files.evil]\ntitle = "nothing evil"\nreason = "a test"\npath = "/evil/*"\npresent = false\n'
    )
    words = ["tests/conformance/test_files.py", "-k", "evil", f"--image={image}", f"--overlay={tmp_path}/team.toml"]
    words += [f"--run-dir={tmp_path}/run", f"--junitxml={tmp_path}/junit.xml"]
    ended = run([sys.executable, "-m", "pytest", *words], tmp_path)
    assert ended.returncode == 1, ended.stdout.decode()
    assert ended.stdout.count(rb"\x1b") > 1
    assert_obeyed_by_nobody(ended.stdout)
    assert_obeyed_by_nobody((tmp_path / "junit.xml").read_bytes())

"""What is fuzzed: for each parser of data from elsewhere one function of bytes, and real samples to begin from.

A target may raise HornetError and nothing else, whatever the bytes are. It does with what was parsed what the suite
does, so that a value that breaks only its user is found too.
"""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import struct
import subprocess
import tempfile
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from builders.kernel.elf import loadable
from hornet.capacity.footprint import METRIC, Footprint
from hornet.capacity.samples import profile_of_samples
from hornet.checks.catalog import guest_checks
from hornet.errors import HornetError
from hornet.foreign_file import decode, parse_json, parse_toml
from hornet.formats.elf import MAGIC as ELF_MAGIC
from hornet.formats.elf import linkage_of
from hornet.formats.ext4 import superblock as ext4
from hornet.formats.ext4.examine import duplicate_names, repair
from hornet.formats.ext4.reader import Ext4Reader
from hornet.formats.ext4.tree import Ext4Tree
from hornet.formats.kconfig import check_flags, extract_config, format_config, version_key
from hornet.formats.shebang import interpreter_of
from hornet.installation import SPEC_DIRECTORY
from hornet.network import AddressPlan
from hornet.results.benchmarks import parse_benchmarks
from hornet.results.gate import Demands
from hornet.results.outcomes import parse_outcomes
from hornet.results.records import parse_records
from hornet.results.run import Run, _note_artifacts
from hornet.snapshot.manifest import FileSeal, Manifest, parse_manifest
from hornet.spec.files import merge, read_spec
from hornet.spec.model import Spec, build_spec, load_spec
from hornet.spec.requirements import load_requirements
from hornet.vm.probes import ProbeResult, parse_answers
from hornet.vm.state import VMState, parse_state
from hornet.vmm.registry import lane_named
from reports.page import report_html, report_markdown
from reports.pictures import component_sizes
from reports.summary import Report, summarize
from tests.fuzz.archive_targets import ARCHIVES
from tests.fuzz.target import Target
from tests.support import bundle_samples, kernel_samples, synthetic_run
from tests.support.guest_samples import good_facts

CORPUS = Path(__file__).with_name("corpus")
BOUNDARY = "@@0123456789abcdef"
E2FSCK_TIMEOUT_S = 5.0


@cache
def _spec() -> Spec:
    return load_spec()


# --- file systems, kernels, programs ---------------------------------------------------------------------------------


def _superblock(data: bytes) -> None:
    found = ext4.parse_superblock(data)
    sealed = ext4.Superblock(_sample_superblock())
    json.dumps([found.block_bytes, found.needs_recovery, found.as_data(), found.changes_from(sealed)])


@cache
def _sample_superblock() -> bytes:
    with tempfile.NamedTemporaryFile() as image:
        image.truncate(4 << 20)
        subprocess.run(["mkfs.ext4", "-q", "-F", image.name], check=True, timeout=60)
        image.seek(ext4.OFFSET)
        return image.read(ext4.SIZE_BYTES)


# How an input of the target ext4_tree is read: pairs of a place, in units of 4 bytes, and what to write there.
PATCH = struct.Struct("<HI")
MAX_READ_BYTES = 1 << 20


def _ext4_tree(data: bytes) -> None:
    """A real image with some numbers overwritten goes the way of a foreign one: e2fsck, then libext2fs, every file."""
    with tempfile.TemporaryFile() as image:
        image.write(_small_image())
        for place, number in PATCH.iter_unpack(data[: len(data) // PATCH.size * PATCH.size]):
            image.seek(place * 4 % len(_small_image()))
            image.write(number.to_bytes(4, "little"))
        image.flush()
        repair(image.fileno(), ["e2fsck"], E2FSCK_TIMEOUT_S)
        with Ext4Reader(image.fileno()) as fs:
            list(duplicate_names(fs))
            tree = Ext4Tree(fs)
            for path in tree.files:
                list(tree.data_ranges(path))
                tree.read(path, 0, MAX_READ_BYTES)
            for path in tree.paths:
                tree.resolve(path)


@cache
def _small_image() -> bytes:
    """128 KiB of ext4 with directories, files, holes and links."""
    with tempfile.TemporaryDirectory() as directory:
        tree, image = Path(directory, "tree"), Path(directory, "image")
        (tree / "d" / "e").mkdir(parents=True)
        (tree / "d" / "file").write_bytes(b"x" * 3000)
        (tree / "d" / "link").symlink_to("../holes")
        (tree / "long").symlink_to("d/" * 40)
        (tree / "hard").hardlink_to(tree / "d" / "file")
        with (tree / "holes").open("wb") as stream:
            for offset in (0, 20_000, 5_000_000):
                stream.seek(offset)
                stream.write(b"data")
        features = "^has_journal,^resize_inode,extent"
        options: list[str | Path] = ["-q", "-F", "-b", "1024", "-N", "32", "-m", "0", "-O", features, "-d", tree]
        subprocess.run(["mkfs.ext4", *options, image, "128"], check=True, timeout=60)
        return image.read_bytes()


def _ext4_tree_samples() -> Iterable[bytes]:
    superblock = PATCH.pack(ext4.OFFSET // 4, 32)
    directory = _small_image().index(b"lost+found") // 4
    return [b"", superblock, PATCH.pack(directory, 0x41414141), PATCH.pack(directory - 2, 12)]


def _kconfig(data: bytes) -> None:
    kernel = _spec().kernel
    config = extract_config(io.BytesIO(data))
    check_flags(
        config,
        kernel.required_symbols,
        kernel.removed_symbols,
        config.version,
        symbols=kernel.symbols,
        boot_args=_spec().machine.boot_args,
    )


def _kconfig_samples() -> Iterable[bytes]:
    values = dict.fromkeys(_spec().kernel.required_symbols[:6], "y") | {"CMDLINE": '"random.trust_cpu=off"'}
    text = f"#\n# Linux/x86_64 6.1.192 Kernel Configuration\n#\n{format_config(values)}"
    kernel = kernel_samples.kernel_with(text)
    packers: list[Callable[[bytes], bytes]] = [gzip.compress, bz2.compress, lzma.compress, _lzma_alone]
    return [text.encode(), gzip.compress(text.encode()), kernel] + [
        kernel_samples.pack_bzimage(kernel, pack) for pack in packers
    ]


def _lzma_alone(data: bytes) -> bytes:
    return lzma.compress(data, lzma.FORMAT_ALONE)


def _loadable_samples() -> Iterable[bytes]:
    return [_written(kernel_samples.Sample()), _written(kernel_samples.Sample(pvh_entry=None))]


def _written(sample: kernel_samples.Sample) -> bytes:
    with tempfile.TemporaryDirectory() as directory:
        return sample.write(Path(directory, "vmlinux")).read_bytes()


@cache
def _linkage_samples() -> tuple[bytes, ...]:
    """The smallest shared libraries that the compiler makes, for 64 and for 32 bits, with the dynamic segment."""
    with tempfile.TemporaryDirectory() as directory:
        library = Path(directory, "lib.so")
        flags = ["-shared", "-nostdlib", "-s", "-Wl,--build-id=none,-z,noseparate-code,-rpath,/opt/lib:$ORIGIN"]
        subprocess.run(["gcc", *flags, "-xc", "/dev/null", "-o", library], check=True, timeout=60)
        whole = library.read_bytes()
    return (whole, _loadable(ELF_MAGIC + b"\1\1\1"), _loadable(ELF_MAGIC + b"\1\2\1"))


def _loadable(ident: bytes) -> bytes:
    return ident.ljust(52, b"\0") + bytes(32)


# --- snapshots, VMs --------------------------------------------------------------------------------------------------


def _manifest(data: bytes) -> None:
    manifest = parse_manifest(_resealed(data))
    ext4.Superblock(bytes.fromhex(manifest.superblock)).as_data()
    lane_named(manifest.origin.lane)


def _resealed(data: bytes) -> bytes:
    """The manifest with the hash that fits its content: whoever forges one computes it too."""
    try:
        manifest = Manifest.model_validate(parse_json(data))
    except (HornetError, ValidationError):
        return data
    return manifest.model_copy(update={"self_sha256": manifest.content_sha256()}).model_dump_json().encode()


def _manifest_samples() -> Iterable[bytes]:
    names = _spec().snapshot
    files = {
        name: FileSeal(size_bytes=1 << 20, sha256="0" * 64)
        for name in (names.rootfs_file, names.memory_file, names.state_file)
    }
    made = Manifest.create(
        version="v1",
        created="2026-01-01T00:00:00+00:00",
        origin=bundle_samples.ORIGIN,
        files=files,
        superblock=_sample_superblock(),
    )
    return [made.model_dump_json().encode()]


def _state_samples() -> Iterable[bytes]:
    state = VMState(
        pid=1,
        owner_pid=1,
        lane="qemu/tcg",
        vm_id=3,
        namespace="vm3",
        private_host="hornet-1-",
        ssh_key="/keys/id_ed25519",
        snapshot=None,
    )
    return [state.to_json().encode()]


# --- the spec --------------------------------------------------------------------------------------------------------


def _overlay(data: bytes) -> None:
    spec = build_spec([(SPEC_DIRECTORY, _base_spec()), (Path("overlay.toml"), parse_toml(data))])
    plan = AddressPlan(spec.network)
    for vm_id in (1, plan.largest_id):
        plan.for_vm(vm_id)
    version_key(spec.kernel.min_version)


@cache
def _base_spec() -> dict[str, Any]:
    return merge(read_spec(SPEC_DIRECTORY))


def _overlay_samples() -> Iterable[bytes]:
    example = Path(__file__).resolve().parents[2] / "docs" / "team-repository" / "overlay.toml"
    # The whole, cut where its tables begin.
    files = sorted(SPEC_DIRECTORY.glob("*.toml"))
    tables = b"".join(file.read_bytes() for file in files).split(b"\n\n[")
    return [example.read_bytes(), *(b"[" + table for table in tables[1:] if len(table) < 2000)]


# --- runs ------------------------------------------------------------------------------------------------------------


# The project's own: read once, so that inputs are tried a hundred times a second, not ten.
_demands = cache(lambda: Demands(load_requirements()))
_REPORT = TypeAdapter(Report)
_EARLIER = Run(Path("earlier"), records=synthetic_run.records())


def _report(run: Run) -> Report:
    """What a report's data are made of, also with this run as the baseline."""
    summarize(_EARLIER, _spec(), _demands(), run)
    report = summarize(run, _spec(), _demands(), _EARLIER)
    _REPORT.dump_json(report)
    return report


def _records(data: bytes) -> None:
    records, problems = parse_records(data)
    _report(Run(Path("run"), records=records, problems=problems))
    for record in records:
        if record.name == METRIC:
            Footprint.of_record(record)


def _records_samples() -> Iterable[bytes]:
    lines = [record.model_dump_json().encode() for record in synthetic_run.records()]
    return [*(line for line in lines if len(line) < 2500), b"\n".join(lines[:3])]


def _agent_samples(data: bytes) -> None:
    profile_of_samples(Path("agents.csv"), decode(data), _spec().profiles["claude-code"])


def _agent_samples_samples() -> Iterable[bytes]:
    """Two agents at the same times, every fourth sample in a burst."""
    rows = [f"{agent},{time},{300 if time % 4 == 0 else 100},0.5\n" for time in range(60) for agent in "ab"]
    yield f"agent,time_s,memory_mb,cpu_cores\n{''.join(rows)}".encode()


def _outcomes(data: bytes) -> None:
    cases, problems = parse_outcomes(data)
    _report(Run(Path("run"), cases=cases, problems=problems))


def _outcomes_samples() -> Iterable[bytes]:
    text = synthetic_run.lines(synthetic_run.CASES).encode()
    return [text, *text.splitlines()]


def _facts(data: bytes) -> None:
    """host.json and artifacts.json, both with this content."""
    facts = parse_json(data)
    run = Run(Path("run"), host=facts if isinstance(facts, dict) else {})
    _note_artifacts(run, run.host)
    component_sizes(run, _spec().tiers.get(run.rootfs.tier))
    report = _report(run)
    report_markdown(report, {})
    report_html(report, {})


def _facts_samples() -> Iterable[bytes]:
    artifacts: dict[str, Any] = {"kernel": {"size_mb": 5.5}}
    artifacts |= {"rootfs": {"tier": "standard", "components_mb": {"Git": 12.5}, "guide_components": {"Git": "Git"}}}
    return [json.dumps(synthetic_run.HOST | artifacts).encode()]


def _benchmarks(data: bytes) -> None:
    try:
        by_run = parse_benchmarks(parse_json(data))
    except ValidationError:
        return
    for name, records in by_run.items():
        _report(Run(Path(name), records=records))


def _benchmark_samples() -> Iterable[bytes]:
    info = {"run": "run", "metric": "ssh_login", "lane": "qemu/tcg", "dimensions": {"clones": 2}, "host": {}}
    entry = {"name": "test_ssh", "stats": {"median": 0.05, "data": [0.04, 0.05]}, "extra_info": info}
    return [json.dumps({"benchmarks": [entry]}).encode()]


# --- guests ----------------------------------------------------------------------------------------------------------


def _answers(data: bytes) -> None:
    for answer in parse_answers(data.decode("utf-8", "replace"), BOUNDARY).values():
        str(answer)


def _guest(data: bytes) -> None:
    """The name of a probe on the first line, then what a guest answers to it: every check is held against that."""
    name, _, output = data.decode("utf-8", "replace").partition("\n")
    good = good_facts(_spec())
    facts = good.with_answer(ProbeResult(name if name in good else "boot.kernel_log", 0, output))
    for check in guest_checks(_spec()).values():
        check(facts)


def _guest_samples() -> Iterable[bytes]:
    answers = good_facts(_spec()).values()
    return [f"{answer.name}\n{answer.output}".encode() for answer in answers if answer.output]


TARGETS = {
    **ARCHIVES,
    "superblock": Target(_superblock, lambda: [_sample_superblock()]),
    "ext4_tree": Target(_ext4_tree, _ext4_tree_samples),
    "kconfig": Target(_kconfig, _kconfig_samples),
    "loadable": Target(lambda data: loadable(io.BytesIO(data)), _loadable_samples),
    "linkage": Target(lambda data: linkage_of(io.BytesIO(data)), _linkage_samples),
    "shebang": Target(interpreter_of, lambda: [b"#!/bin/sh -e\n", b"#!/usr/bin/env -S A=1 python3 -x\n"]),
    "manifest": Target(_manifest, _manifest_samples),
    "vm_state": Target(lambda data: parse_state(data), _state_samples),
    "overlay": Target(_overlay, _overlay_samples),
    "records": Target(_records, _records_samples),
    "outcomes": Target(_outcomes, _outcomes_samples),
    "agent_samples": Target(_agent_samples, _agent_samples_samples),
    "facts": Target(_facts, _facts_samples),
    "benchmarks": Target(_benchmarks, _benchmark_samples),
    "guest": Target(_guest, _guest_samples),
    "answers": Target(
        _answers,
        lambda: [f"{BOUNDARY} begin a.b\nout\n{BOUNDARY} end {end}\n".encode() for end in ("0", "124 limit 20")],
    ),
}

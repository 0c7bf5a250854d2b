"""The plugin that conftest.py loads. It only combines the other modules."""

from __future__ import annotations

import logging
import os
from typing import Any

import pytest

from hornet.checks.catalog import image_checks
from hornet.errors import HornetError
from hornet.host.progress import Progress
from hornet.host.workspace import Workspace
from hornet.vm.evidence import ALL
from hornet.vm.leftovers import remove_leftovers
from hornet_fixtures import debugging, ending, evidence, files_only, narrowing, noise, outcomes, vm_users
from hornet_fixtures.clones import lineage, lineage_future, lineage_workspace, parent_future
from hornet_fixtures.debugging import pytest_cmdline_main
from hornet_fixtures.diagnostics import (
    pytest_make_collect_report,
    pytest_runtest_makereport,
    pytest_sessionfinish,
    pytest_warning_recorded,
)
from hornet_fixtures.evidence import RUN_EVIDENCE, RunEvidence
from hornet_fixtures.guests import (
    facts,
    facts_future,
    mutable_vm,
    mutable_vm_future,
    read_only_root_future,
    read_only_root_vm,
    restored_vm,
    start_guest,
    tool_facts,
    tool_facts_future,
)
from hornet_fixtures.options import (
    check_options,
    lengthen_time_limit,
    pytest_addoption,
    pytest_ignore_collect,
    pytest_runtest_setup,
    register_markers,
)
from hornet_fixtures.prefetch import workers
from hornet_fixtures.procedures import (
    all_trials,
    backup,
    backup_future,
    clean_up,
    clean_up_future,
    mixed_files,
    mixed_files_future,
    new_version,
    rollback,
    rollback_future,
    slim_future,
    slimmed,
    trials,
    troubles,
    troubles_future,
    version_future,
)
from hornet_fixtures.recording import (
    RUN_DIRECTORY,
    artifacts,
    booted_subject,
    configure_run,
    host,
    of_image,
    pytest_terminal_summary,
    pytest_unconfigure,
    record,
    record_runs,
    restored_subject,
    run_directory,
)
from hornet_fixtures.requirement_markers import (
    guide_cases,
    metric_cases,
    pytest_collection_modifyitems,
    pytest_runtest_call,
    requirement_cases,
)
from hornet_fixtures.session import (
    PROGRESS,
    fleet,
    host_net,
    key,
    lane,
    new_fleet,
    progress,
    pytest_runtestloop,
    read_spec,
    spec,
    workspace,
)
from hornet_fixtures.tiers import judged_tier
from hornet_fixtures.under_test import bundle, image, image_problems, kernel, tier, tier_name

__all__ = [
    "all_trials",
    "artifacts",
    "backup",
    "backup_future",
    "booted_subject",
    "bundle",
    "clean_up",
    "clean_up_future",
    "facts",
    "facts_future",
    "fleet",
    "host",
    "host_net",
    "image",
    "image_problems",
    "kernel",
    "key",
    "lane",
    "lineage",
    "lineage_future",
    "lineage_workspace",
    "mixed_files",
    "mixed_files_future",
    "mutable_vm",
    "mutable_vm_future",
    "new_fleet",
    "new_version",
    "of_image",
    "parent_future",
    "progress",
    "pytest_addoption",
    "pytest_cmdline_main",
    "pytest_collection_modifyitems",
    "pytest_ignore_collect",
    "pytest_make_collect_report",
    "pytest_runtest_call",
    "pytest_runtest_makereport",
    "pytest_runtest_setup",
    "pytest_runtestloop",
    "pytest_sessionfinish",
    "pytest_terminal_summary",
    "pytest_unconfigure",
    "pytest_warning_recorded",
    "read_only_root_future",
    "read_only_root_vm",
    "record",
    "record_runs",
    "restored_subject",
    "restored_vm",
    "rollback",
    "rollback_future",
    "run_directory",
    "slim_future",
    "slimmed",
    "spec",
    "start_guest",
    "tier",
    "tier_name",
    "tool_facts",
    "tool_facts_future",
    "trials",
    "troubles",
    "troubles_future",
    "version_future",
    "workers",
    "workspace",
]


pytest_plugins = ["hornet_fixtures.in_lab"]
STDERR = 2


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    register_markers(config)
    # It logs lost connections, with tracebacks. The suite's own errors already explain these.
    logging.getLogger("paramiko").setLevel(logging.CRITICAL + 1)
    try:
        configure_run(config)
    except HornetError as error:
        raise pytest.UsageError(str(error)) from error
    # pytest does not capture output yet. This copy of stderr shows the progress of long builds during captured tests.
    config.stash[PROGRESS] = Progress(os.fdopen(os.dup(STDERR), "w"))
    config.pluginmanager.register(ending)
    config.pluginmanager.register(outcomes)
    config.pluginmanager.register(narrowing)
    config.pluginmanager.register(noise)
    config.pluginmanager.register(files_only)
    config.pluginmanager.register(vm_users)
    config.pluginmanager.register(evidence)
    check_options(config)
    lengthen_time_limit(config)
    debugging.check_options(config)
    keep_all = config.getoption("evidence") == ALL
    config.stash[RUN_EVIDENCE] = RunEvidence(config.stash[RUN_DIRECTORY], keep_all=keep_all)
    if not hasattr(config, "workerinput"):
        remove_leftovers(Workspace.from_env())


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """xdist: every worker writes into the same run directory."""
    node.workerinput["hornet_run_directory"] = str(node.config.stash[RUN_DIRECTORY])


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Make one case for each tool, removal, file rule, kernel feature and metric of the spec."""
    if "removal_check" in metafunc.fixturenames:
        exempt = read_spec(metafunc.config).tier(judged_tier(metafunc.config)).exempt_from_removals
        names = [name for name in image_checks(read_spec(metafunc.config), exempt) if name.startswith("removal.")]
        metafunc.parametrize("removal_check", guide_cases("removed", names, lambda name: name.split(".")[1]))
    if "file_rule" in metafunc.fixturenames:
        metafunc.parametrize("file_rule", guide_cases("file", read_spec(metafunc.config).files))
    if "feature_test" in metafunc.fixturenames:
        metafunc.parametrize("feature_test", list(read_spec(metafunc.config).kernel.feature_tests))
    if "tool_name" in metafunc.fixturenames:
        tools = read_spec(metafunc.config).tools_of(judged_tier(metafunc.config))
        requirements = {name: tool.requirement or f"tool-{name}" for name, tool in tools.items()}
        metafunc.parametrize("tool_name", requirement_cases(requirements))
    if "metric" in metafunc.fixturenames:
        metafunc.parametrize("metric", metric_cases(read_spec(metafunc.config).metrics))

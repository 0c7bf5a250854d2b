"""The decision on a part of the suites: what the others would prove is not asked for, so it is not missing either."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from hornet.results.gate import Decision, Demands, decide
from hornet.results.run import Run
from hornet.spec.model import Spec


def decide_suites(spec: Spec, run: Run, demands: Demands, suites: Collection[str]) -> Decision:
    """Decide on a run by the requirements that a test of these suites proves, by the same rules as on all of it.

    Every test of these suites counts, whether it ran or not. A metric that no such requirement has is not asked for.
    """
    collected = {module: tests for module, tests in run.collected.items() if module.partition("/")[0] in suites}
    proved = {key for tests in collected.values() for ids in tests.values() for key in ids}
    proved |= {key for case in run.cases if case.suite in suites for key in case.requirements}
    asked = {key: requirement for key, requirement in demands.requirements.items() if key in proved}
    metrics = {requirement.metric for requirement in asked.values()}
    narrowed = replace(
        demands,
        requirements=asked,
        # A waiver of an unknown requirement stays, and so is still a failure.
        waivers={key: it for key, it in demands.waivers.items() if key in asked or key not in demands.requirements},
    )
    mine = replace(run, collected=collected, cases=[case for case in run.cases if case.suite in suites])
    kept = spec.model_copy(update={"metrics": {key: it for key, it in spec.metrics.items() if key in metrics}})
    return decide(kept, mine, narrowed)

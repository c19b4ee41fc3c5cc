"""No wrong derivative rule goes unseen: every mutant of every rule is caught (``mutation.py``)."""

from __future__ import annotations

from types import ModuleType

import pytest
from mutation import EQUIVALENT, Mutant, describe, examine, killer, modules, mutants_of, rules_of

from tinygen.primitive import Each, Primitive

MODULES = [module for module in modules() if rules_of(module)]
RULES = [rule for module in MODULES for rule in rules_of(module)]
pytestmark = pytest.mark.host


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.__name__)
def test_every_mutant_is_caught(module: ModuleType) -> None:
    rules = rules_of(module)
    report = examine(rules)
    print(f"{module.__name__}: {report}")
    assert not report.survivors, "wrong rules that no test notices:\n" + "\n".join(map(describe, report.survivors))
    listed = {key for key in EQUIVALENT if key[0] in {rule.name for rule in rules}}
    stale = listed - {(mutant.rule.name, mutant.text) for mutant in report.equivalent}
    assert not stale, f"EQUIVALENT lists changes that are not made any more, or are caught: {sorted(stale)}"


def test_every_rule_has_mutants() -> None:
    mutated = {place for rule in RULES if mutants_of(rule) for place in rule.places}
    for name, primitive in Primitive.registry.items():
        if isinstance(primitive.rules, Each):
            assert (name, None) in mutated, name
        else:
            given = {i for i, rule in enumerate(primitive.rules) if "_refusal" not in rule.__qualname__}
            assert given <= {position for other, position in mutated if other == name}, name


def test_equivalent_changes_belong_to_rules() -> None:
    assert {name for name, _ in EQUIVALENT} <= {rule.name for rule in RULES}


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.__name__)
def test_the_rules_themselves_are_not_caught(module: ModuleType) -> None:
    """The checks fail because a rule was changed, and not because one was installed."""
    for rule in rules_of(module):
        assert killer(Mutant(rule, "none", "", rule.source)) is None, rule.name

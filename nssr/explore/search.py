"""The search (draft)."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

from nssr.explore.bank import Bank
from nssr.explore.chain import Chain
from nssr.explore.closures import AFFINE, EXPONENTIAL, FAMILIES, MONOMIAL, Closures
from nssr.explore.families import fill
from nssr.explore.problem import Problem
from nssr.explore.rows import Rows
from nssr.explore.tree import Tree, size

FRONT_TRANSFORMS = ("identity", "inverse", "square", "root", "log", "exp", "asin", "acos", "atan", "atanh", "tan", "sin", "cos")


def exact_search(problem: Problem, rows: Rows, clock: Callable[[], float], max_time: float, log=None) -> list[Tree]:
    found: list[Tree] = []

    def settle(stage: str, hits) -> bool:
        good = closures.resolve(hits)
        if log is not None and (good or len(hits) > 300):
            log(f"{clock():.2f}s {capacity} {stage}: {len(hits)} hits, {len(good)} exact")
        found.extend(good)
        return bool(good)

    for capacity in (3_000, 30_000, 200_000):
        bank = Bank(rows.X[rows.few], list(range(rows.X.shape[1])), problem.seed, capacity)
        families = fill(bank, problem.operations, capacity)
        closures = Closures(rows, bank, families, problem.seed, problem.operations)
        if log: log(f"{clock():.2f}s bank {len(bank)} tables { {k: len(v) for k, v in closures.table.items()} }")
        start = Chain(closures.y)
        fronts = [start.transformed(g) for g in FRONT_TRANSFORMS]
        fronts = [c for c in fronts if closures.usable(c)]
        if settle("span", closures.in_span(fronts)):
            return found
        if settle("look-up", closures.look_up(fronts)):
            return found
        # pairs
        done = False
        for chain in fronts:
            for family in FAMILIES:
                done |= settle(f"pairs {chain.steps} {family}", closures.pairs(chain, family, len(closures.ids)))
            if clock() > max_time:
                return found
        if done:
            return found
        ids = families["all"]
        for chain in fronts[:6]:
            for op in ("t*v", "t/v", "t-v", "v-t", "t+v"):
                for transforms in ((), ("minus one",), ("plus one",), ("log",), ("exp",), ("square",), ("root",), ("inverse", "plus one", "log"), ("inverse", "minus one"), ("square", "minus one"),("asin",),("acos",),("tan",)):
                    if op in ("t*v", "t/v") and not transforms:
                        fam = (AFFINE,)
                    elif transforms in ((), ("square",), ("root",)) :
                        fam = (AFFINE, MONOMIAL) if op in ("t-v","v-t","t+v") and transforms == () else (AFFINE,)
                    else:
                        fam = (AFFINE, MONOMIAL)
                    if transforms[-1:] == ("log",):
                        fam = (AFFINE, MONOMIAL)
                    done |= settle(f"meet {[s[0] for s in chain.steps]} {op} {transforms}", closures.meet(chain, op, ids, transforms, fam))
                    if clock() > max_time:
                        return found
            if done:
                return found
    return found

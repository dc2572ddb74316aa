"""The library as plain values: what is there, its forms, its values, and that a change by another process is seen."""

from __future__ import annotations

import ast
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from nssr import db, registry
from nssr.catalogue import FORMATS, Catalogue, NoSuchForm, Unknown


@pytest.fixture
def catalogue(tmp_path: Path) -> Iterator[Catalogue]:
    found = Catalogue(tmp_path / "library.db", ("core", "science"))
    yield found
    found.close()


def learn(catalogue: Catalogue, name: str, arity: int, steps: list[tuple[str, list[Any]]], constants: Any = None) -> None:
    """As another process would: through a connection of its own. Functions are given by name."""
    conn = db.init_db(catalogue.path)
    state = registry.load_registry(conn)
    ids = {entry["name"]: i for i, entry in state["metadata"].items()}
    plain = [(ids[child], [ids[a] if isinstance(a, str) else a for a in args]) for child, args in steps]
    registry.register_learned(conn, state, name, arity, plain, constants)
    conn.close()


def test_what_others_learn_is_seen(catalogue: Catalogue) -> None:
    before = catalogue.counts()
    learn(catalogue, "KE", 2, [("MUL", [1, 1]), ("MUL", [0, 2])], [0.5])
    after = catalogue.counts()
    assert (after["learned"], after["functions"], after["layers"]) == (1, before["functions"] + 1, 2)
    function = catalogue.function("KE")
    assert (function["formula"], function["composition"]) == ("0.5*x0*x1**2", "MUL(x0, MUL(x1, x1)) * 0.5")
    assert function["uses"] == ["MUL"]
    assert catalogue.function("SIN")["pack"] == "science"
    assert catalogue.function("LOOP")["arity"] is None
    names = [f["name"] for f in catalogue.functions()]
    assert names[-1] == "KE"
    assert len(names) == after["functions"]
    with pytest.raises(Unknown):
        catalogue.function("PE")


def test_loops_use_what_they_iterate(catalogue: Catalogue) -> None:
    learn(catalogue, "PLUS", 2, [("LOOP", ["INC", 0, 1])])
    assert catalogue.function("PLUS")["uses"] == ["INC", "LOOP"]
    assert catalogue.function("INC")["used_by"] == ["PLUS"]


def test_values(catalogue: Catalogue) -> None:
    learn(catalogue, "RATIO", 2, [("DIV", [0, 1])])
    learn(catalogue, "ROOT", 1, [("SQRT", [0])])
    assert catalogue.predict("RATIO", [[6, 4], [1, 0]], 5) == {"outputs": [1.5, 0.0], "errors": []}
    answer = catalogue.predict("ROOT", [[4], [-1]], 5)
    assert answer["outputs"] == [2.0, None]
    assert answer["errors"][0]["row"] == 1
    late = catalogue.predict("ROOT", [[4]] * 3, -1)
    assert late["outputs"] == [None] * 3
    for name, row in (("ROOT", [1, 2]), ("LOOP", [1, 2, 3])):
        with pytest.raises(ValueError, match=name):
            catalogue.predict(name, [row], 5)


def test_every_form_is_what_it_says(catalogue: Catalogue, tmp_path: Path) -> None:
    learn(catalogue, "wave; --", 2, [("SIN", [0]), ("MUL", [1, 2]), ("SQRT", [3])], [2.5])
    forms = {form: catalogue.export("wave; --", form) for form in FORMATS}
    assert json.loads(forms["json"])["functions"][0]["name"] == "wave; --"
    ast.parse(forms["python"])
    names: dict[str, Any] = {}
    exec(forms["python"], names)
    value = names["f_wave____"](0.5, 3.0)
    assert value == pytest.approx(catalogue.predict("wave; --", [[0.5, 3.0]], 5)["outputs"][0])
    source = tmp_path / "f.c"
    source.write_text(forms["c"] + '#include <stdio.h>\nint main(void) { printf("%.17g", f_wave____(0.5, 3.0)); return 0; }\n')
    subprocess.run(["cc", "-o", str(tmp_path / "f"), str(source), "-lm"], check=True)
    printed = subprocess.run([str(tmp_path / "f")], capture_output=True, text=True, check=True).stdout
    assert float(printed) == pytest.approx(value)
    assert forms["mathml"].startswith("<math")
    learn(catalogue, "BITS", 2, [("AND", [0, 1])])
    with pytest.raises(NoSuchForm, match="AND"):
        catalogue.export("BITS", "c")
    with pytest.raises(NoSuchForm, match="primitive"):
        catalogue.export("ADD", "c")
    assert json.loads(catalogue.export("ADD", "json"))["functions"] == []


def test_a_reset_retires_all_that_was_learned(catalogue: Catalogue) -> None:
    learn(catalogue, "A", 1, [("INC", [0])])
    learn(catalogue, "B", 1, [("A", [0]), ("A", [1])])
    last = catalogue.function("B")["id"]
    catalogue.reset(("core",))
    assert catalogue.counts()["learned"] == 0
    learn(catalogue, "C", 1, [("INC", [0])])
    assert catalogue.function("C")["id"] == last + 1

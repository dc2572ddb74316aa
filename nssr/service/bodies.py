"""What requests hold and answers look like, for validation and for the OpenAPI document.

Requests are strict: a string is no number, an unknown field is a mistake. Floats are finite.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

Name = Annotated[str, StringConstraints(min_length=1, max_length=200)]
Number = Annotated[int, Field(ge=-(10**300), le=10**300)] | float
Kind = Literal["train", "fit", "eval", "import"]
State = Literal["queued", "running", "done", "failed", "cancelled"]


class _Request(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


class Example(_Request):
    inputs: Annotated[list[Number], Field(min_length=1)]
    output: Number


# A list of two; that JSON knows no tuples is no reason to refuse it, even where everything else is strict.
Pair = Annotated[tuple[list[Number], Number], Field(strict=False)]


class NewDataset(_Request):
    name: Name
    description: Annotated[str, Field(max_length=10_000)] = ""
    examples: Annotated[list[Pair | Example], Field(min_length=3)]
    columns: list[Name] | None = None
    target: Name = "y"


class Train(_Request):
    target_name: Name
    dataset_name: Name
    max_depth: Annotated[int, Field(ge=1, le=10)] = 5
    num_epochs: Annotated[int, Field(ge=1, le=10_000)] = 40
    max_search_steps: Annotated[int, Field(ge=1, le=1000)] = 15
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0


class Evaluate(_Request):
    dataset_name: Name


class Fit(_Request):
    dataset_name: Name
    target: Name | None = None
    max_time: Annotated[float, Field(gt=0, le=86_400)] = 30.0
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    operations: Annotated[list[Name], Field(min_length=1, max_length=100)] | None = None
    max_complexity: Annotated[int, Field(ge=1, le=1000)] | None = None
    units: dict[Name, Annotated[str, Field(max_length=200)]] | None = None
    loss: Literal["squared", "huber", "cauchy"] = "squared"
    use_library: bool = True


class Keep(_Request):
    name: Name
    equation: Annotated[int, Field(ge=0)] | None = None


class Predict(_Request):
    function: Name
    inputs: Annotated[list[list[Number]], Field(min_length=1)]


class Login(_Request):
    token: Annotated[str, Field(max_length=1000)]


class Reset(_Request):
    confirm: Literal["reset"]
    datasets: bool = False


class Health(BaseModel):
    status: Literal["ok"] = "ok"


class Status(BaseModel):
    name: str
    version: str
    functions: int
    learned: int
    layers: int
    vocab_size: int
    datasets: int
    jobs: dict[State, int]
    uptime_s: float
    limits: dict[str, float]


class Dataset(BaseModel):
    id: int
    name: str
    description: str
    columns: list[str]
    target: str
    rows: int
    bytes: int
    created_at: str


class DatasetInFull(Dataset):
    ranges: dict[str, tuple[float, float]]
    preview: list[list[int | float]]


class Datasets(BaseModel):
    datasets: list[Dataset]


class _JobFacts(BaseModel):
    id: str
    kind: Kind
    state: State
    spec: dict[str, Any]
    created_at: str
    started_at: str | None
    ended_at: str | None
    seconds: float | None
    error: str | None


class Job(_JobFacts):
    result: dict[str, Any] | None


class JobInShort(_JobFacts):
    formula: str | None


class Jobs(BaseModel):
    jobs: list[JobInShort]
    next: int | None


class Function(BaseModel):
    id: int
    name: str
    kind: Literal["primitive", "learned"]
    arity: int | None
    layer: int
    pack: str | None = None
    composition: str | None
    formula: str | None
    latex: str | None
    mathml: str | None
    constants: list[float] | None
    uses: list[str]
    used_by: list[str]
    created_at: str | None


class Functions(BaseModel):
    functions: list[Function]


class RowFault(BaseModel):
    row: int
    detail: str


class Prediction(BaseModel):
    outputs: list[int | float | None]
    errors: list[RowFault]


class Remembered(BaseModel):
    at: str
    what: str
    name: str
    detail: str
    job: str | None


class History(BaseModel):
    history: list[Remembered]

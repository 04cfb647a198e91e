"""What goes over the wire. Written by test/tools/write-python-wire.mjs from packages/protocol; do not edit."""

from typing import Literal, TypedDict


class _RunDeclarationTrackerRequired(TypedDict):
    name: str


class RunDeclarationTracker(_RunDeclarationTrackerRequired, total=False):
    run: dict[str, object]
    mode: str


class _RunDeclarationRequired(TypedDict):
    project: str


class RunDeclaration(_RunDeclarationRequired, total=False):
    name: str
    group: str
    unit: Literal["example", "token", "timestep"]
    trackers: list[RunDeclarationTracker]
    optimizer: Literal["sgd", "adam", "other"]
    dataset_units: float
    batch_multiple: int
    batch_min: float
    batch_max: float
    latency_ratio: float
    tags: dict[str, str]


class MeasurementSmall(TypedDict):
    batch_size: float
    squared_norm: float
    count: int


class MeasurementBig(TypedDict):
    batch_size: float
    squared_norm: float


class MeasurementHessianSmall(TypedDict):
    batch_size: float
    value: float


class MeasurementHessian(TypedDict):
    small: MeasurementHessianSmall
    big: MeasurementHessianSmall


class MeasurementPreconditionedSmall(TypedDict):
    batch_size: float
    value: float


class MeasurementPreconditioned(TypedDict):
    small: MeasurementPreconditionedSmall
    big: MeasurementPreconditionedSmall


class _MeasurementRequired(TypedDict):
    step: int
    time_ms: float
    small: MeasurementSmall
    big: MeasurementBig


class Measurement(_MeasurementRequired, total=False):
    attempt: int
    units: float
    loss: float
    learning_rate: float
    evaluations: dict[str, float]
    layers: dict[str, tuple[float, float]]
    hessian: MeasurementHessian
    preconditioned: MeasurementPreconditioned


class _RunEventRequired(TypedDict):
    step: int
    time_ms: float
    kind: Literal["dropped", "warning", "unavailable", "finished", "failed"]
    code: str


class RunEvent(_RunEventRequired, total=False):
    count: int


class SnapshotPredicted(TypedDict):
    min_steps: float | None
    min_steps_low: float | None
    min_steps_high: float | None
    min_units: float | None
    min_units_low: float | None
    min_units_high: float | None
    critical_batch_size: float | None
    critical_batch_size_low: float | None
    critical_batch_size_high: float | None
    adaptive_gain: float | None
    basis: Literal["b_noise", "b_simple"]


class SnapshotRecommendationAdam(TypedDict):
    one_minus_beta_factor: float
    epsilon_factor: float


class SnapshotRecommendationTrade(TypedDict):
    batch_size: float
    role: Literal["current", "recommended", "neighbour"]
    steps_factor: float
    units_factor: float


class SnapshotRecommendation(TypedDict):
    batch_size: float | None
    batch_size_low: float | None
    batch_size_high: float | None
    basis: Literal["frontier", "b_noise", "b_simple_calibrated", "b_simple"]
    target: str | None
    calibrated: bool
    critical_batch_size: float | None
    critical_batch_size_low: float | None
    critical_batch_size_high: float | None
    latency_ratio: float | None
    learning_rate_factor: float | None
    adam: SnapshotRecommendationAdam | None
    held_back: Literal["learning_rate"] | None
    trade: list[SnapshotRecommendationTrade]


class SnapshotWarning(TypedDict):
    code: str
    message: str


class SnapshotHorizon(TypedDict):
    horizon: float
    b_simple: float | None
    b_simple_low: float | None
    b_simple_high: float | None
    identifiable: bool
    gradient_squared_norm: float | None
    covariance_trace: float | None
    effective_measurements: float


class SnapshotLayer(TypedDict):
    b_simple: float | None
    b_simple_low: float | None
    b_simple_high: float | None
    identifiable: bool
    gradient_squared_norm: float | None
    covariance_trace: float | None
    covariance_trace_share: float | None


class Snapshot(TypedDict):
    run: str
    attempt: float
    step: float | None
    time_ms: float | None
    unit: Literal["example", "token", "timestep"]
    optimizer: Literal["sgd", "adam", "other"] | None
    measurements: float
    batch_size: float | None
    b_simple: float | None
    b_simple_low: float | None
    b_simple_high: float | None
    confidence: float
    identifiable: bool
    gradient_squared_norm: float | None
    covariance_trace: float | None
    b_noise: float | None
    b_noise_low: float | None
    b_noise_high: float | None
    b_preconditioned: float | None
    b_preconditioned_low: float | None
    b_preconditioned_high: float | None
    dataset_units: float | None
    efficiency: float | None
    predicted: SnapshotPredicted
    recommendation: SnapshotRecommendation
    warnings: list[SnapshotWarning]
    horizons: list[SnapshotHorizon]
    layers: dict[str, SnapshotLayer]


class BriefSnapshot(TypedDict):
    run: str
    attempt: float
    step: float | None
    time_ms: float | None
    unit: Literal["example", "token", "timestep"]
    optimizer: Literal["sgd", "adam", "other"] | None
    measurements: float
    batch_size: float | None
    b_simple: float | None
    b_simple_low: float | None
    b_simple_high: float | None
    confidence: float
    identifiable: bool
    gradient_squared_norm: float | None
    covariance_trace: float | None
    b_noise: float | None
    b_noise_low: float | None
    b_noise_high: float | None
    b_preconditioned: float | None
    b_preconditioned_low: float | None
    b_preconditioned_high: float | None
    dataset_units: float | None
    efficiency: float | None
    predicted: SnapshotPredicted
    recommendation: SnapshotRecommendation
    warnings: list[SnapshotWarning]


class IngestResultRejected(TypedDict):
    index: int
    path: str
    message: str


class IngestResult(TypedDict):
    accepted: float
    duplicates: float
    rejected: list[IngestResultRejected]
    snapshot: Snapshot | BriefSnapshot


class EventResult(TypedDict):
    accepted: float
    rejected: list[IngestResultRejected]

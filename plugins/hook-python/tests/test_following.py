"""When a recommended number of parts is handed out to a trainer that counts the batches of an epoch."""

import math
import re

import pytest
import torch

import noisescale
from noisescale.following import Following
from noisescale.pytorch.watch import WatchOptions
from test_batch_size_control import answered
from training import network


def told(options: WatchOptions, accumulation: int, step: int = 0) -> None:
    tell = options.get("on_recommendation")
    assert tell is not None
    tell(noisescale.BatchSizeChange(8.0 * accumulation, accumulation, 1.5, answered(step)))


def most(batches: float, limits: noisescale.BatchSizeLimits | None = None) -> float:
    given = Following({"batch_size_limits": limits}, batches).options["batch_size_limits"]
    assert given is not None
    return given.max_accumulation


def test_a_change_is_due_once_after_a_number_of_batches_that_the_new_number_divides() -> None:
    changes: list[noisescale.BatchSizeChange] = []
    following = Following({"on_recommendation": changes.append}, math.inf)
    told(following.options, 3)
    assert [following.due(batch) is not None for batch in (2, 4, 6, 12)] == [False, False, True, False]
    assert [change.accumulation for change in changes] == [3]


def test_of_two_changes_that_wait_the_later_one_is_due() -> None:
    following = Following({}, math.inf)
    told(following.options, 3)
    told(following.options, 4)
    due = following.due(0)
    assert due is not None
    assert due.accumulation == 4


def test_an_answer_about_the_batch_size_before_the_last_change_is_not_followed() -> None:
    following = Following({}, math.inf)
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    following.watcher = noisescale.watch(model, optimizer, first_step=40, sink=lambda measurement: None)
    told(following.options, 3)
    assert following.due(0) is not None
    told(following.options, 4, step=39)
    assert following.due(0) is None
    told(following.options, 4, step=40)
    assert following.due(0) is not None


def test_an_answer_to_the_short_end_of_an_epoch_is_not_followed() -> None:
    following = Following({}, 26)
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    following.watcher = noisescale.watch(model, optimizer, first_step=8, sink=lambda measurement: None)
    following.leave_out()
    told(following.options, 4, step=8)
    assert following.due(0) is None
    told(following.options, 4, step=9)
    assert following.due(0) is not None


def test_a_wrong_option_is_named_when_training_begins() -> None:
    with pytest.raises(ValueError, match="on_recommendation=3: must be a function"):
        Following({"on_recommendation": 3}, 10)  # type: ignore[typeddict-item]
    with pytest.raises(TypeError, match=re.escape("batch_size_limits={}: must be noisescale.BatchSizeLimits")):
        Following({"batch_size_limits": {}}, 10)  # type: ignore[typeddict-item]


def test_no_step_is_asked_to_have_more_batches_than_an_epoch() -> None:
    assert most(math.inf) == math.inf
    assert most(10) == 10
    assert most(10, noisescale.BatchSizeLimits(max_accumulation=4)) == 4
    # Of one batch a training alone learns nothing; the limits are right all the same.
    assert most(1) == 2
    assert most(3, noisescale.BatchSizeLimits(min_accumulation=4)) == 4
    following = Following({"on_recommendation": lambda change: 1 / 0}, 3)
    told(following.options, 4)
    assert following.due(0) is None

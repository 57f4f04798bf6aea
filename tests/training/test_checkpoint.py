"""A training that is killed and begun again ends as if nothing had happened, and takes no checkpoint but its own."""

import functools
import hashlib
import io
import logging
import os
import subprocess
import sys
import textwrap
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from lightning_fabric import Fabric
from lightning_fabric.plugins.precision import MixedPrecision
from stopping import stopped_after
from torch import nn

from course_lib.data import Views, load
from course_lib.errors import CourseError
from course_lib.losses import gradient_matching_loss, hard_label_loss, logit_loss, soft_target_loss
from course_lib.matrices import cross_entropy_matrix
from course_lib.models import cnn_teacher, mlp, small_mlp
from course_lib.training import (
    Checkpoints,
    LiveTeacher,
    Objective,
    PerStudent,
    Recipe,
    Term,
    TrainingDiverged,
    Watch,
    cache_teacher,
    fit,
    fit_many,
    gradient,
    gradient_matching,
    hard_labels,
    load_weights,
    soft_targets,
)
from course_lib.training import checkpoint as module
from course_lib.training.functions import words_of_function

RECIPE = Recipe(steps=60, batch_size=16, lr=1e-2, schedule="cosine")


@pytest.fixture(scope="module")
def train():
    return load("digits", seed=0).train.take(torch.arange(100))


@pytest.fixture(scope="module")
def cache(train):
    torch.manual_seed(0)
    return cache_teacher(cnn_teacher(), train, soft_matrix=torch.eye(10))


def plain(train, places=None):
    return fit(small_mlp, hard_labels(), train, RECIPE, checkpoints=places, progress=False)


def with_dropout():
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 16), nn.ReLU(), nn.Dropout(0.5), nn.Linear(16, 10))


def with_batch_norm():
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 10))


def state(run):
    return run.model.state_dict()


@pytest.mark.parametrize("build", [small_mlp, with_dropout, with_batch_norm])
@pytest.mark.parametrize("optimizer", ["adam", "momentum"])
def test_a_stopped_training_ends_with_the_same_bits(build, optimizer, train, cache, tmp_path):
    recipe = replace(RECIPE, optimizer=optimizer)
    settings = {"seed": 3, "teacher": cache, "progress": False}
    whole = fit(build, soft_targets(), train, recipe, **settings)
    with stopped_after(20):
        fit(build, soft_targets(), train, recipe, checkpoints=Checkpoints(tmp_path, every=10), **settings)
    rest = fit(build, soft_targets(), train, recipe, checkpoints=Checkpoints(tmp_path, every=10), **settings)
    assert all(torch.equal(value, state(rest)[name]) for name, value in state(whole).items())
    assert all((rest.history[name] == values).all() for name, values in whole.history.items())


def test_random_probes_and_many_students_go_on_too(train, cache, tmp_path):
    objective = gradient_matching(PerStudent([0.1, 1.0, 10.0]), "hutchinson")
    settings = {"seeds": [1, 2, 3], "teacher": cache, "progress": False}
    whole = fit_many(small_mlp, objective, train, RECIPE, **settings)
    places = Checkpoints(tmp_path, every=15)
    with stopped_after(30):
        fit_many(small_mlp, objective, train, RECIPE, checkpoints=places, **settings)
    rest = fit_many(small_mlp, objective, train, RECIPE, checkpoints=places, **settings)
    assert all(torch.equal(value, rest.parameters[name]) for name, value in whole.parameters.items())


def test_a_finished_training_is_not_repeated(train, tmp_path):
    places = Checkpoints(tmp_path, every=25)
    first = plain(train, places)
    before = [(path.name, path.stat().st_mtime_ns) for path in places.files()]
    assert [name for name, _ in before] == ["step-0000000060.ckpt", "step-0000000050.ckpt"]  # the newest two
    again = plain(train, places)
    assert [(path.name, path.stat().st_mtime_ns) for path in places.files()] == before
    assert all(torch.equal(value, state(again)[name]) for name, value in state(first).items())


KILLED = """
    import os, random, signal, sys, time
    from pathlib import Path
    import sklearn.datasets, sklearn.model_selection  # what load takes: once, not again in every child
    import torch
    torch.set_num_threads(1)
    from course_lib.data import load
    from course_lib.models import small_mlp
    from course_lib.training import Checkpoints, Recipe, fit, hard_labels

    folder, draw = Path(sys.argv[1]), random.Random(0)
    recipe = Recipe(steps=400, batch_size=16, schedule="cosine")

    def train(checkpoints):
        examples = load("digits", seed=0).train.take(list(range(100)))
        return fit(small_mlp, hard_labels(), examples, recipe, seed=1, checkpoints=checkpoints, progress=False)

    places, kills = Checkpoints(folder / "kept", every=2), 0
    while True:
        child = os.fork()  # before this process has computed anything: its threads would not live on in the child
        if not child:
            torch.save(train(places).model.state_dict(), folder / "killed.pt")
            os._exit(0)
        if kills == 10:
            assert os.waitpid(child, 0)[1] == 0
            break
        known = places.files()[:1]
        while places.files()[:1] == known and not os.waitpid(child, os.WNOHANG)[0]:
            time.sleep(0.001)
        time.sleep(draw.uniform(0, 0.01))
        os.kill(child, signal.SIGKILL)
        assert os.WIFSIGNALED(os.waitpid(child, 0)[1]), "the training was over before it could be killed"
        kills += 1
        print(places.files()[0].name)
    torch.save(train(None).model.state_dict(), folder / "whole.pt")
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_killed_ten_times_at_random_moments_it_ends_with_the_same_bits(tmp_path):
    command = [sys.executable, "-c", textwrap.dedent(KILLED), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=280)
    assert done.returncode == 0, done.stderr
    steps = done.stdout.split()
    assert len(steps) == 10
    assert len(set(steps)) == 10, "every life must get further than the one before"
    killed, whole = (torch.load(tmp_path / f"{name}.pt") for name in ("killed", "whole"))
    assert all(torch.equal(value, killed[name]) for name, value in whole.items())
    assert not list((tmp_path / "kept").glob(".part-*")), "what a killed process left is cleared away"


@pytest.fixture
def finished(train, tmp_path):
    """A folder with the checkpoints of steps 60 and 50."""
    places = Checkpoints(tmp_path / "kept", every=10)
    plain(train, places)
    return places


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda path: path.write_bytes(path.read_bytes()[:-100]), "damaged or was changed.*fall_back=True"),
        (lambda path: path.write_bytes(path.read_bytes()[:40]), "damaged or was changed"),
        (lambda path: path.write_bytes(path.read_bytes()[:10]), "damaged or was changed"),
        (
            lambda path: path.write_bytes(path.read_bytes().replace(b"Recipe(", b"recipe(")),
            "damaged or was changed",
        ),
        (lambda path: path.write_bytes(b"PK\x03\x04 something else"), "is not a checkpoint of course_lib"),
        (lambda path: path.write_bytes(b""), "is not a checkpoint of course_lib"),
    ],
)
def test_a_damaged_checkpoint_is_refused_or_the_one_before_is_used(spoil, words, finished, train):
    expected = plain(train)
    spoil(finished.files()[0])
    with pytest.raises(CourseError, match=words):
        plain(train, finished)
    run = plain(train, replace(finished, fall_back=True))
    assert all(torch.equal(value, state(run)[name]) for name, value in state(expected).items())


def test_where_all_are_damaged_it_says_so(finished, train):
    for path in finished.files():
        path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(CourseError, match=r"none of the 2 checkpoints in .* can be used: .* damaged"):
        plain(train, replace(finished, fall_back=True))


def other_network():
    return mlp((1, 8, 8), (17,), 10)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"recipe": replace(RECIPE, lr=0.5)}, "another recipe: Recipe.*lr=0.01.* now Recipe.*lr=0.5"),
        ({"seed": 4}, "another seed: 0, now 4"),
        ({"build": other_network}, r"another network: .*out_features=16.* now .*out_features=17"),
        ({"objective": soft_targets()}, "another objective: hard: hard_label_loss"),
    ],
)
def test_a_checkpoint_of_another_training_is_refused(change, words, finished, train, cache):
    now = {"build": small_mlp, "objective": hard_labels(), "recipe": RECIPE, "seed": 0} | change

    def start(places):
        return fit(
            now["build"],
            now["objective"],
            train,
            now["recipe"],
            seed=now["seed"],
            teacher=cache,
            checkpoints=places,
            progress=False,
        )

    with pytest.raises(CourseError, match=words):
        start(finished)
    with pytest.raises(CourseError, match=words):  # no file of this training to fall back on
        start(replace(finished, fall_back=True))


def test_among_checkpoints_of_another_training_the_own_is_found_where_asked_for(finished, train, caplog):
    own = plain(train)
    oldest = finished.files()[-1].read_bytes()
    fit(
        small_mlp,
        hard_labels(),
        train,
        replace(RECIPE, lr=0.5),
        checkpoints=Checkpoints(Path(finished.folder).parent / "other"),
        progress=False,
    )
    finished.files()[0].write_bytes(next(Path(finished.folder).parent.glob("other/*.ckpt")).read_bytes())
    with caplog.at_level(logging.WARNING):
        run = plain(train, replace(finished, fall_back=True))
    assert all(torch.equal(value, state(run)[name]) for name, value in state(own).items())
    assert "resuming from step-0000000050.ckpt, for " in caplog.text
    assert "belongs to a training with another recipe" in caplog.text
    assert finished.files()[-1].read_bytes() == oldest


@pytest.mark.parametrize(
    ("now", "words"),
    [
        ({"rate": 0.1}, r"another network: .*Dropout\(p=0\.5.* now .*Dropout\(p=0\.1"),
        ({"temperature": 3.0}, r"another objective: .*temperature=2\.0.* now .*temperature=3\.0"),
        ({"precision": "bf16-mixed"}, "another precision: 32-true, now bf16-mixed"),
    ],
)
def test_what_weights_do_not_show_is_noticed_and_shown(now, words, train, cache, tmp_path):
    def start(rate=0.5, temperature=2.0, precision="32-true"):
        return fit(
            lambda: nn.Sequential(nn.Dropout(rate), small_mlp()),
            soft_targets(temperature, 0.5),
            train,
            RECIPE,
            teacher=cache,
            fabric=Fabric(accelerator="cpu", devices=1, precision=precision),
            checkpoints=Checkpoints(tmp_path),
            progress=False,
        )

    start()
    with pytest.raises(CourseError, match=words):
        start(**now)


def test_a_live_teachers_other_soft_matrix_is_noticed(train, tmp_path):
    torch.manual_seed(0)
    network = cnn_teacher()

    def start(matrix):
        return fit(
            small_mlp,
            gradient_matching(0.1),
            train,
            RECIPE,
            teacher=LiveTeacher(network, matrix),
            checkpoints=Checkpoints(tmp_path),
            progress=False,
        )

    start(cross_entropy_matrix)
    with pytest.raises(CourseError, match="another teacher: its answers differ, soft_matrix"):
        start(torch.eye(10)[:, :1])


def test_a_teacher_whose_answers_are_rounded_otherwise_is_the_same_and_others_are_not(train, tmp_path):
    """Asked live or beforehand, in half precision or with another number of threads."""
    torch.manual_seed(0)
    network, views = cnn_teacher(), Views(pad=1, flip=False)

    def start(teacher):
        return fit(
            small_mlp,
            soft_targets(),
            train,
            RECIPE,
            teacher=teacher,
            views=views,
            checkpoints=Checkpoints(tmp_path),
            progress=False,
        )

    first = start(cache_teacher(network, train, views=views))
    again = start(LiveTeacher(network))
    assert all(torch.equal(value, state(again)[name]) for name, value in state(first).items()), "not repeated"
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.mul_(1.02)
    with pytest.raises(CourseError, match="another teacher: its answers differ, teacher_logits"):
        start(LiveTeacher(network))


def test_looks_and_checkpoints_may_come_more_often_than_before(train, tmp_path):
    settings = {"checkpoints": Checkpoints(tmp_path, every=20, keep=9), "progress": False}
    whole = fit(small_mlp, hard_labels(), train, RECIPE, **settings)
    Checkpoints(tmp_path).files()[0].unlink()
    watch = Watch(lambda network: {"number": 1.0}, every=5)
    settings["checkpoints"] = Checkpoints(tmp_path, every=10, keep=9)
    rest = fit(small_mlp, hard_labels(), train, RECIPE, watch=watch, **settings)
    assert [each["step"] for each in rest.watched] == [45, 50, 55, 60]
    assert all(torch.equal(value, state(rest)[name]) for name, value in state(whole).items())


def test_what_scales_the_losses_is_kept_too(train, tmp_path):
    """In float16 the scale grows and shrinks with what was seen; here one that grows at every step."""

    def start(**more):
        scaler = torch.amp.GradScaler("cpu", init_scale=2.0, growth_interval=1, growth_factor=1.25)
        fabric = Fabric(
            accelerator="cpu", devices=1, plugins=MixedPrecision("16-mixed", device="cpu", scaler=scaler)
        )
        fit(small_mlp, hard_labels(), train, RECIPE, fabric=fabric, progress=False, **more)
        return scaler.get_scale()

    expected = start()
    with stopped_after(20):
        start(checkpoints=Checkpoints(tmp_path, every=10))
    assert start(checkpoints=Checkpoints(tmp_path, every=10)) == expected


def test_weights_that_are_no_numbers_are_not_kept(train, tmp_path):
    objective = Objective([Term("hard", hard_label_loss, weight=1e30)])
    recipe = Recipe(steps=5, optimizer="sgd", lr=1e15)
    places = Checkpoints(tmp_path, every=1)
    with pytest.raises(TrainingDiverged, match="a weight became NaN or infinite at step 1"):
        fit(small_mlp, objective, train, recipe, checkpoints=places, progress=False)
    assert not places.files()


def loss_of(margin=1.0, more=None):
    def own(student_logits, bound=margin, extra=more):
        return student_logits.square().clamp(max=bound).mean()

    return own


def loss_around(margin):
    def own(student_logits):
        return student_logits.square().clamp(max=margin).mean()

    return own


class Bounded:
    def __init__(self, bound):
        self.bound = bound

    def loss(self, student_logits):
        return student_logits.square().clamp(max=self.bound).mean()


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (
            functools.partial(soft_target_loss, temperature=2.0),
            functools.partial(soft_target_loss, temperature=9.0),
        ),
        (loss_of(1.0), loss_of(5.0)),
        (loss_of(more=np.arange(5000)), loss_of(more=np.where(np.arange(5000) == 2500, 0, np.arange(5000)))),
        (loss_of(more=[torch.zeros(3)]), loss_of(more=[torch.ones(3)])),
        (loss_of(more=mlp), loss_of(more=small_mlp)),
        (loss_of(more=loss_around(1.0)), loss_of(more=loss_around(5.0))),
        (loss_around(1.0), loss_around(5.0)),
        (Bounded(1.0).loss, Bounded(5.0).loss),
    ],
    ids=["partial", "default", "array", "tensors", "function", "made function", "made loss", "method"],
)
def test_settings_that_a_loss_brings_along_are_compared(one, other, train, cache, tmp_path):
    def start(loss):
        objective = Objective([Term("own", loss)])
        settings = {"teacher": cache, "checkpoints": Checkpoints(tmp_path), "progress": False}
        return fit(small_mlp, objective, train, RECIPE, **settings)

    first, again = start(one), start(one)
    assert all(torch.equal(value, state(again)[name]) for name, value in state(first).items())
    with pytest.raises(CourseError, match="another objective"):
        start(other)


def test_a_setting_that_cannot_be_known_again_is_refused(train, tmp_path):
    objective = Objective([Term("own", loss_of(more=object()))])
    with pytest.raises(
        CourseError, match=r"a setting \(extra\) that a checkpoint cannot recognise.*got object"
    ):
        fit(small_mlp, objective, train, RECIPE, checkpoints=Checkpoints(tmp_path), progress=False)


class Scaled(nn.Module):
    """Has weights that its words do not show."""

    def __init__(self, width):
        super().__init__()
        self.inner, self.scale = small_mlp(), nn.Parameter(torch.ones(width))

    def forward(self, inputs):
        return self.scale * self.inner(inputs)


def test_weights_of_another_shape_are_noticed(train, tmp_path):
    def start(width):
        return fit(
            lambda: Scaled(width),
            hard_labels(),
            train,
            RECIPE,
            checkpoints=Checkpoints(tmp_path),
            progress=False,
        )

    start(1)
    with pytest.raises(CourseError, match=r"another list of weights: .*scale \(1,\).* now .*scale \(10,\)"):
        start(10)


def test_students_with_each_others_examples_are_noticed(train, tmp_path):
    halves = [train.take(torch.arange(0, 100, 2)), train.take(torch.arange(1, 100, 2))]

    def start(examples):
        settings = {"seeds": [0, 1], "checkpoints": Checkpoints(tmp_path), "progress": False}
        return fit_many(small_mlp, hard_labels(), examples, RECIPE, **settings)

    start(halves)
    with pytest.raises(CourseError, match="another set of examples"):
        start(halves[::-1])


def test_a_full_disk_is_not_told_that_a_damaged_checkpoint_is_whole(train, tmp_path, monkeypatch):
    places = Checkpoints(tmp_path, every=10, fall_back=True)
    plain(train, places)
    newest = places.files()[0]
    newest.write_bytes(newest.read_bytes()[:-9])

    def full(path, fill):
        raise CourseError(f"cannot write {path}: No space left on device")

    monkeypatch.setattr(module, "write_atomically", full)
    with pytest.raises(CourseError, match=r"No space left on device; step-0000000050\.ckpt is complete"):
        plain(train, places)


def test_what_is_whole_but_no_training_is_refused(finished, train):
    newest = finished.files()[0]
    buffer = io.BytesIO()
    torch.save({"weights": torch.zeros(3)}, buffer)
    payload = buffer.getvalue()
    newest.write_bytes(module._MAGIC + hashlib.sha256(payload).hexdigest().encode() + payload)
    with pytest.raises(CourseError, match=f"{newest.name} holds no training"):
        module.read(newest)
    fallen = replace(finished, fall_back=True)
    whole = plain(train)
    run = plain(train, fallen)
    assert all(torch.equal(v, run.model.state_dict()[k]) for k, v in whole.model.state_dict().items())


def test_damaged_files_of_later_steps_do_not_push_out_whole_ones(train, tmp_path):
    places = Checkpoints(tmp_path, every=30, keep=2, fall_back=True)
    plain(train, places)
    places.files()[0].unlink()
    for step in (90, 120):
        (tmp_path / f"step-{step:010}.ckpt").write_bytes(b"damaged")
    plain(train, places)
    assert {f"step-{step:010}.ckpt" for step in (30, 60)} <= {path.name for path in places.files()}


def test_files_of_others_stay_where_they_are(train, tmp_path):
    theirs, left = tmp_path / "film.part", tmp_path / ".part-left"
    for path in (theirs, left):
        path.write_bytes(b"half")
    plain(train, Checkpoints(tmp_path))
    assert theirs.exists()
    assert not left.exists()


def test_other_examples_and_another_teacher_are_noticed(train, cache, tmp_path):
    places = Checkpoints(tmp_path)
    fit(small_mlp, soft_targets(), train, RECIPE, teacher=cache, checkpoints=places, progress=False)
    changed = replace(train, images=255 - train.images)
    with pytest.raises(CourseError, match="another set of examples"):
        fit(
            small_mlp,
            soft_targets(),
            changed,
            RECIPE,
            teacher=cnn_teacher(),
            checkpoints=places,
            progress=False,
        )
    with pytest.raises(CourseError, match="another teacher"):
        fit(
            small_mlp,
            soft_targets(),
            train,
            RECIPE,
            teacher=cnn_teacher(),
            checkpoints=places,
            progress=False,
        )


def test_another_soft_matrix_and_another_normalisation_are_noticed(train, tmp_path):
    torch.manual_seed(0)
    teacher, places = cnn_teacher(), Checkpoints(tmp_path)

    def run(examples, matrix):
        cache = cache_teacher(teacher, examples, soft_matrix=matrix)
        fit(small_mlp, gradient(), examples, RECIPE, teacher=cache, checkpoints=places, progress=False)

    run(train, torch.eye(10))
    with pytest.raises(CourseError, match="another teacher"):
        run(train, 2 * torch.eye(10))
    with pytest.raises(CourseError, match="another set of examples"):
        run(replace(train, std=2 * train.std), torch.eye(10))


def test_a_full_disk_loses_no_earlier_checkpoint(train, tmp_path, monkeypatch):
    places, write = Checkpoints(tmp_path, every=10), module.write_atomically

    def full(path, fill):
        def no_more(file):
            file.write(b"half")
            raise OSError(28, "No space left on device")

        write(path, no_more if path.name >= "step-0000000030" else fill)

    monkeypatch.setattr(module, "write_atomically", full)
    with pytest.raises(CourseError, match=r"No space left on device; step-0000000020\.ckpt is complete"):
        plain(train, places)
    assert module.read(places.files()[0])["done"] == 20


def test_a_pickled_object_is_not_run(finished, tmp_path):
    class Evil:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "was_run",))

    path = finished.files()[0]
    module.write_atomically(path, lambda file: module._write(file, {"identity": Evil()}))
    with pytest.raises(CourseError, match=r"holds no training.*other than tensors and plain values"):
        module.read(path)
    assert not (tmp_path / "was_run").exists()


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: Checkpoints("x", every=0), "every must be an integer of at least 1, got 0"),
        (lambda: Checkpoints("x", keep=1.5), "keep must be an integer of at least 1, got 1.5"),
    ],
)
def test_bad_settings_are_answered_in_one_sentence(call, words):
    with pytest.raises(CourseError, match=words):
        call()


def test_a_generator_of_ones_own_is_refused(train, cache, tmp_path):
    matching = Term(
        "matching", gradient_matching_loss, estimator="hutchinson", generator=torch.Generator().manual_seed(1)
    )
    objective = Objective([Term("logits", logit_loss), matching])
    with pytest.raises(CourseError, match="term 'matching' has a random generator of its own"):
        fit(
            small_mlp,
            objective,
            train,
            RECIPE,
            teacher=cache,
            checkpoints=Checkpoints(tmp_path),
            progress=False,
        )


@pytest.mark.parametrize("optimizer", ["adam", "momentum"])
def test_a_training_goes_on_with_more_steps_when_asked(optimizer, train, tmp_path):
    short = Recipe(steps=20, batch_size=16, optimizer=optimizer)
    long = replace(short, steps=50)
    whole = fit(small_mlp, hard_labels(), train, long)
    places = Checkpoints(tmp_path, every=10)
    fit(small_mlp, hard_labels(), train, short, checkpoints=places)
    with pytest.raises(
        CourseError, match=r"another number of steps: 20, now 50 \(extend=True goes on from there\)"
    ):
        fit(small_mlp, hard_labels(), train, long, checkpoints=places)
    longer = fit(small_mlp, hard_labels(), train, long, checkpoints=replace(places, extend=True))
    assert all(torch.equal(value, state(longer)[name]) for name, value in state(whole).items())
    assert (longer.history["total"] == whole.history["total"]).all()
    with pytest.raises(CourseError, match="another number of steps: 50, now 20"):
        fit(small_mlp, hard_labels(), train, short, checkpoints=replace(places, extend=True))


def test_many_students_go_on_with_more_steps(train, tmp_path):
    short, seeds = Recipe(steps=20, batch_size=16), [1, 2]
    long = replace(short, steps=50)
    whole = fit_many(small_mlp, hard_labels(), train, long, seeds=seeds)
    places = Checkpoints(tmp_path, every=10, extend=True)
    fit_many(small_mlp, hard_labels(), train, short, seeds=seeds, checkpoints=places)
    longer = fit_many(small_mlp, hard_labels(), train, long, seeds=seeds, checkpoints=places)
    assert all(torch.equal(value, longer.parameters[name]) for name, value in whole.parameters.items())


def test_a_training_whose_learning_rate_ends_cannot_go_on(finished, train):
    longer = replace(RECIPE, steps=90)
    with pytest.raises(
        CourseError, match="cannot be extended from 60 to 90 steps: its learning rate depends on"
    ):
        fit(small_mlp, hard_labels(), train, longer, checkpoints=replace(finished, extend=True))


def test_weights_are_read_from_a_checkpoint(finished, train):
    network = small_mlp()
    network.load_state_dict(load_weights(finished.files()[0]))
    assert all(torch.equal(value, network.state_dict()[name]) for name, value in state(plain(train)).items())


def test_a_checkpoint_is_no_larger_for_the_steps_to_come(train, tmp_path):
    places = Checkpoints(tmp_path, every=10)
    with stopped_after(10):
        fit(small_mlp, hard_labels(), train, Recipe(steps=1_000_000, batch_size=16), checkpoints=places)
    assert places.files()[0].stat().st_size < 1_000_000


class Shrunk(nn.Module):
    """Has a number that its words do not show."""

    def __init__(self, factor):
        super().__init__()
        self.inner, self.factor = small_mlp(), factor

    def forward(self, inputs):
        return self.factor * self.inner(inputs)


def falling(gamma):
    return lambda optimizer: torch.optim.lr_scheduler.ExponentialLR(optimizer, gamma)


def moving(last):
    return lambda progress: 1 + progress * last


def brighter(factor):
    return lambda inputs, labels: (factor * inputs, labels)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda n: {"build_model": lambda: Shrunk(n)}, "another network"),
        (lambda n: {"recipe": replace(RECIPE, schedule=falling(n))}, "another recipe"),
        (lambda n: {"objective": Objective([Term("hard", hard_label_loss, moving(n))])}, "another objective"),
        (lambda n: {"transform": brighter(n)}, r"another transform: .*factor=0\.5\], now .*factor=0\.9\]"),
    ],
)
def test_numbers_that_functions_were_made_with_are_compared(change, words, train, tmp_path):
    def start(number):
        usual = {"build_model": small_mlp, "objective": hard_labels(), "recipe": RECIPE, "progress": False}
        return fit(**{**usual, "examples": train, "checkpoints": Checkpoints(tmp_path), **change(number)})

    first, again = start(0.5), start(0.5)
    assert first.history["total"].tolist() == again.history["total"].tolist()
    with pytest.raises(CourseError, match=words):
        start(0.9)


def test_functions_that_hold_each_other_have_words():
    def first(number):
        return second(number)

    more = (1, {"a": torch.zeros(2)}, object())

    def second(number):
        return first((number, more))

    words = words_of_function("own", first)
    assert words == words_of_function("own", first)
    for part in ("second=", "first=...", "object]"):
        assert part in words

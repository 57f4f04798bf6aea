"""A teacher's answers in little memory: half precision, and the largest logits with what the rest comes to."""

import pytest
import torch

from course_lib.data import Examples, Views, load
from course_lib.errors import CourseError
from course_lib.losses import soft_target_loss
from course_lib.models import small_mlp
from course_lib.training import (
    Checkpoints,
    Objective,
    PerStudent,
    Recipe,
    Term,
    answers_from,
    cache_teacher,
    evened_dark_knowledge,
    fit,
    fit_many,
    forecast_cache,
    logits,
    mean_answers,
    permuted_dark_knowledge,
    soft_targets,
    teacher_activation,
)
from course_lib.training.top_k import keep_top

TRAIN = load("digits", seed=0).train.take(torch.arange(60))
VIEWS = Views(pad=1, flip=False)
SHORT = Recipe(steps=6, batch_size=20, lr=1e-2)
TOP = {"top_k": 3, "temperature": 2.0}


@pytest.fixture(scope="module")
def teacher():
    torch.manual_seed(0)
    network = small_mlp()
    with torch.no_grad():
        network.logits.weight *= 20  # so that it has opinions
    return network


def weights(run):
    return torch.cat([parameter.detach().flatten() for parameter in run.model.parameters()])


# --- The mathematics -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("temperature", [0.5, 1.0, 5.0])
@pytest.mark.parametrize("k", [1, 4, 11])
def test_the_largest_and_the_sum_of_the_rest_are_as_they_were(k, temperature):
    y = 4 * torch.randn(50, 12, dtype=torch.float64, generator=torch.Generator().manual_seed(k))
    kept = keep_top(y, k, temperature)
    p, q = ((each / temperature).softmax(dim=1) for each in (y, kept.full()))
    largest = y.topk(k).indices
    torch.testing.assert_close(q.gather(1, largest), p.gather(1, largest), rtol=1e-12, atol=1e-14)
    torch.testing.assert_close(kept.full().gather(1, largest), y.gather(1, largest), rtol=0, atol=0)
    others = q.scatter(1, largest, -1.0)
    assert torch.equal((others == others.amax(dim=1, keepdim=True)).sum(dim=1), torch.full((50,), 12 - k))
    assert torch.equal(kept.full().argmax(dim=1), y.argmax(dim=1))


def test_the_error_is_the_one_that_the_docstring_tells():
    y = 4 * torch.randn(50, 12, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    temperature, k = 3.0, 4
    p = (y / temperature).softmax(dim=1)
    q = (keep_top(y, k, temperature).full() / temperature).softmax(dim=1)
    others = p.scatter(1, y.topk(k).indices, 0.0)
    r = others.sum(dim=1)
    entropy = -torch.special.xlogy(others / r[:, None], others / r[:, None]).sum(dim=1)
    divergence = (p * (p / q).log()).sum(dim=1)
    torch.testing.assert_close(divergence, r * (torch.tensor(12.0 - k).log() - entropy), rtol=1e-5, atol=1e-9)


def test_at_another_temperature_the_rest_gets_too_much_above_and_too_little_below():
    y = 4 * torch.randn(50, 12, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    kept, largest = keep_top(y, 4, 3.0).full(), y.topk(4).indices

    def rest(logits, temperature):
        return (logits / temperature).softmax(dim=1).scatter(1, largest, 0.0).sum(dim=1)

    assert (rest(kept, 6.0) > rest(y, 6.0)).all()
    assert (rest(kept, 1.0) < rest(y, 1.0)).all()
    p, q = ((each / 6.0).softmax(dim=1).gather(1, largest) for each in (y, kept))
    torch.testing.assert_close(p / p[:, :1], q / q[:, :1])


@pytest.mark.parametrize(("shape", "classes"), [((6, 5, 12), 2), ((6, 12, 3, 4), 1)])
def test_sequences_and_maps_have_their_classes_where_they_were(shape, classes):
    y = torch.randn(shape, dtype=torch.float64)
    full = keep_top(y, 11, 1.0).full()  # with one class left out nothing is lost
    assert full.shape == shape
    torch.testing.assert_close(full.softmax(dim=classes), y.softmax(dim=classes))


def test_one_class_is_evened_dark_knowledge(teacher):
    full = cache_teacher(teacher, TRAIN)
    one = cache_teacher(teacher, TRAIN, top_k=1, temperature=4.0)
    assert torch.equal(one.logits, evened_dark_knowledge(full, 4.0).logits)


# --- The cache -------------------------------------------------------------------------------------------------------


def test_the_answers_are_found_by_the_example_and_reach_the_loss(teacher):
    full, top = cache_teacher(teacher, TRAIN), cache_teacher(teacher, TRAIN, **TOP)
    few = TRAIN.take(torch.tensor([40, 3, 17]))
    assert torch.equal(top.lookup(few), keep_top(full.lookup(few), 3, 2.0).full())
    objective = Objective([Term("soft", soft_target_loss, temperature=2.0)])
    as_array = answers_from(top.logits, TRAIN)
    kept, plain = (fit(small_mlp, objective, TRAIN, SHORT, teacher=each) for each in (top, as_array))
    assert torch.equal(weights(kept), weights(plain))
    assert not torch.equal(weights(kept), weights(fit(small_mlp, objective, TRAIN, SHORT, teacher=full)))


def test_views_and_several_teachers_keep_only_the_largest_too(teacher):
    full = cache_teacher(teacher, TRAIN, views=VIEWS, dtype=torch.float32)
    top = cache_teacher(teacher, TRAIN, views=VIEWS, dtype=torch.float32, **TOP)
    assert top.logits.shape == (60, 9, 10)
    assert torch.equal(top.logits, keep_top(full.logits, 3, 2.0).full())
    assert torch.equal(top.lookup(TRAIN), top.logits[:, VIEWS.unchanged])
    soft = soft_targets(temperature=2.0)
    alone = fit(small_mlp, soft, TRAIN, SHORT, seed=1, teacher=top, views=VIEWS)
    for teachers in (top, [full, top]):
        together = fit_many(small_mlp, soft, TRAIN, SHORT, seeds=[1, 1], teacher=teachers, views=VIEWS)
        last = torch.cat([each[1].flatten() for each in together.parameters.values()])
        assert torch.allclose(last, weights(alone), atol=1e-4)


def test_half_precision_is_half_the_memory_and_rounds_every_answer(teacher):
    asked = {"soft_matrix": torch.eye(10), "layers": ["relu1"]}
    full = cache_teacher(teacher, TRAIN, **asked)
    half = cache_teacher(teacher, TRAIN, dtype=torch.float16, **asked)
    assert 2 * half.bytes == full.bytes
    assert torch.equal(half.logits, full.logits.half())
    assert torch.equal(half.gradients, full.gradients.half())
    assert torch.equal(half.activations["relu1"], full.activations["relu1"].half())
    assert (half.lookup(TRAIN) - full.lookup(TRAIN)).abs().max() <= full.logits.abs().max() * 2**-11
    term = Term("layer", lambda a: a.square().mean(), a=teacher_activation("relu1"))
    objective = Objective([*soft_targets().terms, term])
    run = fit(small_mlp, objective, TRAIN, SHORT, teacher=half)
    rounded = answers_from(half.logits, TRAIN)
    other = fit(small_mlp, soft_targets(), TRAIN, SHORT, teacher=rounded)
    assert torch.equal(weights(run), weights(other))


def test_keys_and_files_tell_all_forms_apart(teacher, tmp_path):
    forms = [
        {},
        {"dtype": torch.float16},
        TOP,
        {**TOP, "top_k": 4},
        {**TOP, "temperature": 3.0},
        {**TOP, "dtype": torch.float16},
        {"views": VIEWS},
        {"views": VIEWS, "dtype": torch.float32},
    ]
    made = [cache_teacher(teacher, TRAIN, directory=tmp_path, **form) for form in forms]
    assert len({each.key for each in made}) == len(list(tmp_path.iterdir())) == len(forms)
    assert cache_teacher(teacher, TRAIN, dtype=torch.float32).key == made[0].key
    for form, before in zip(forms, made, strict=True):
        again = cache_teacher(teacher, TRAIN, directory=tmp_path, **form)
        assert torch.equal(again.logits, before.logits)
        assert again.logits.dtype == before.logits.dtype


def test_a_kept_file_with_another_number_in_it_is_refused(teacher, tmp_path):
    cache_teacher(teacher, TRAIN, directory=tmp_path, **TOP)
    (path,) = tmp_path.iterdir()
    found = torch.load(path, weights_only=True)
    found["logits"]["rest"][-1] += 1
    torch.save(found, path)
    with pytest.raises(CourseError, match=r"the teacher cache .* is damaged; delete it"):
        cache_teacher(teacher, TRAIN, directory=tmp_path, **TOP)


def test_a_checkpoint_knows_how_many_classes_the_teacher_told_about(teacher, tmp_path):
    kept = {"checkpoints": Checkpoints(tmp_path, every=3)}
    nearly = cache_teacher(teacher, TRAIN, top_k=9, temperature=2.0)  # the very answers, but for rounding
    fit(small_mlp, soft_targets(2.0), TRAIN, SHORT, teacher=cache_teacher(teacher, TRAIN), **kept)
    with pytest.raises(CourseError, match=r"another limit of the teacher's classes: none, now the 9 largest"):
        fit(small_mlp, soft_targets(2.0), TRAIN, SHORT, teacher=nearly, **kept)


def test_a_mean_of_teachers_with_views_of_maps_has_its_classes_apart():
    pictures = Examples(torch.rand(4, 3, 5, 5), torch.zeros(4, 5, 5, dtype=torch.int64))
    caches = [cache_teacher(torch.nn.Conv2d(3, 6, 1), pictures, views=VIEWS) for _ in range(2)]
    found = mean_answers(caches).logits.float().exp().sum(dim=2)
    torch.testing.assert_close(found, torch.ones(4, 9, 5, 5), rtol=5e-3, atol=0)
    top = cache_teacher(torch.nn.Conv2d(3, 6, 1), pictures, views=VIEWS, top_k=2, temperature=1.0)
    assert top.logits.shape == (4, 9, 6, 5, 5)


@pytest.mark.parametrize(
    ("form", "expected"),
    [
        ({}, 60 * 10 * 4),
        ({"dtype": torch.float16}, 60 * 10 * 2),
        (TOP, 60 * (3 * (4 + 1) + 4)),
        ({**TOP, "dtype": torch.float16}, 60 * (3 * (2 + 1) + 2)),
        ({**TOP, "views": VIEWS}, 60 * 9 * (3 * (2 + 1) + 2)),
    ],
)
def test_the_forecast_tells_what_each_form_takes(teacher, form, expected):
    assert forecast_cache(teacher, TRAIN, tried=10, **form).bytes == expected
    assert cache_teacher(teacher, TRAIN, **form).bytes == expected


@pytest.mark.parametrize(
    ("form", "words"),
    [
        ({"dtype": torch.int8}, r"dtype must be torch.float32 or torch.float16, got torch.int8"),
        ({"top_k": 3}, "top_k and temperature must be given together"),
        ({"temperature": 3.0}, "top_k and temperature must be given together"),
        ({"top_k": 0, "temperature": 1.0}, "top_k must be an integer of at least 1, got 0"),
        ({"top_k": 10, "temperature": 1.0}, "top_k must be below the 10 classes of the logits, got 10"),
        ({"top_k": 3, "temperature": -1.0}, "temperature must be a finite number above 0, got -1.0"),
    ],
)
def test_what_cannot_be_kept_is_refused(teacher, form, words):
    with pytest.raises(CourseError, match=words):
        cache_teacher(teacher, TRAIN, **form)


def test_answers_beyond_half_precision_are_refused(teacher):
    large = torch.nn.Sequential(teacher, torch.nn.Linear(10, 10))
    with torch.no_grad():
        large[1].bias += 1e5
    with pytest.raises(CourseError, match="its logits exceed half precision, whose largest number is 65504"):
        cache_teacher(large, TRAIN, dtype=torch.float16)


def test_another_temperature_is_refused_before_training(teacher):
    top = cache_teacher(teacher, TRAIN, **TOP)
    with pytest.raises(CourseError, match=r"for the temperature 2.0, and term 'soft' has 4.0: make another"):
        fit(small_mlp, soft_targets(4.0), TRAIN, SHORT, teacher=top)
    both = Objective([Term("soft", soft_target_loss, temperature=PerStudent([2.0, 3.0]))])
    with pytest.raises(CourseError, match=r"term 'soft' has 3\.0"):
        fit_many(small_mlp, both, TRAIN, SHORT, seeds=[0, 1], teacher=top)
    assert len(fit(small_mlp, logits(), TRAIN, SHORT, teacher=top).history["logits"]) == 6


def softened(student_logits, teacher_logits, temperature=4.0):
    return soft_target_loss(student_logits, teacher_logits, temperature)


def test_another_temperature_by_default_is_refused_too(teacher):
    top = cache_teacher(teacher, TRAIN, **TOP)
    with pytest.raises(CourseError, match=r"term 'own' has 4\.0"):
        fit(small_mlp, Objective([Term("own", softened)]), TRAIN, SHORT, teacher=top)


@pytest.mark.parametrize("views", [None, VIEWS])
def test_permuted_answers_know_their_temperature(teacher, views):
    top = cache_teacher(teacher, TRAIN, views=views, dtype=torch.float32, **TOP)
    made = permuted_dark_knowledge(top, seed=0)
    assert made.bytes == top.bytes
    assert not torch.equal(made.logits, top.logits)
    torch.testing.assert_close(made.logits.sort(dim=-1).values, top.logits.sort(dim=-1).values)
    with pytest.raises(CourseError, match=r"for the temperature 2\.0, and term 'soft' has 4\.0"):
        fit(small_mlp, soft_targets(4.0), TRAIN, SHORT, teacher=made, views=views)


def test_other_controls_and_means_refuse_another_temperature(teacher):
    top = cache_teacher(teacher, TRAIN, **TOP)
    evened = evened_dark_knowledge(cache_teacher(teacher, TRAIN), 2.0)
    torch.testing.assert_close(evened_dark_knowledge(top, 2.0).logits, evened.logits)
    with pytest.raises(CourseError, match=r"temperature must be 2.0, for which the cache was .* got 3.0"):
        evened_dark_knowledge(top, 3.0)
    with pytest.raises(CourseError, match="caches must hold all logits, got one made with top_k"):
        mean_answers([cache_teacher(teacher, TRAIN), top])

"""The benchmark for a GPU, rehearsed on a CPU: every part runs; trainings side by side do not touch each other."""

import json

import torch

from benchmarks.gpu.__main__ import main
from benchmarks.gpu.card import VIEWS, network, noise
from benchmarks.gpu.fleet import CHUNK, Fleet, Member
from course_lib.data import Views
from course_lib.losses import input_gradient_loss
from course_lib.models import alexnet
from course_lib.training import Objective, Term, hard_labels, soft_targets

DATA = noise(torch.device("cpu"), 64)


def weights(member):
    return torch.cat([each.detach().flatten() for each in member.network.parameters()])


def member(seed=0, objective=None, lr=0.05, **given):
    return Member(network(1 / 32, seed), objective or hard_labels(), lr, seed=seed, **given)


def test_the_rehearsal_measures_every_part_and_a_stopped_run_goes_on(tmp_path):
    arguments = ["--rehearse", "--output", str(tmp_path), "--folder", str(tmp_path / "kept")]
    main([*arguments, "--commit", "abc"])
    path = tmp_path / "gpu_rehearsal.json"
    first = json.loads(path.read_text())
    assert first["commit"] == "abc"
    assert not [name for name, part in first["parts"].items() if "error" in part]
    assert {"throughput", "teacher", "answers", "tuning", "unlabelled", "together"} <= set(first["parts"])
    assert {"students, 1 epochs", "students with gradients", "race, 2 epochs"} <= set(first["parts"])
    assert {"controls, 1 epochs", "grid, 1 epochs"} <= set(first["parts"])
    cells = {
        (each["settings"]["temperature"], each["settings"]["lam"])
        for each in first["parts"]["grid, 1 epochs"]["soft targets"]["tried"]
    }
    assert cells == {(T, lam) for T in (1, 2, 4, 8) for lam in (0.5, 0.9, 1.0)}
    left = {name: part for name, part in first["parts"].items() if name != "students, 2 epochs"}
    path.write_text(json.dumps(first | {"parts": left}))
    (tmp_path / "kept" / "teacher.pt").unlink()  # as on another machine
    main(arguments)
    parts = json.loads(path.read_text())["parts"]
    assert {name: part for name, part in parts.items() if name in left} == left
    assert set(parts) == set(first["parts"])


def test_a_training_is_the_same_alone_and_beside_others():
    answers = torch.randn(len(DATA.train) * len(VIEWS), 10).half()
    together = [member(0), member(1, soft_targets(4.0, 0.9), answers=answers), member(2, lr=0.01)]
    Fleet(together, DATA.train, VIEWS, 16, 4).train()
    alone = [member(0), member(1, soft_targets(4.0, 0.9), answers=answers), member(2, lr=0.01)]
    for one, other in zip(together, alone, strict=True):
        Fleet([other], DATA.train, VIEWS, 16, 4).train()
        assert torch.equal(weights(one), weights(other))


def test_its_steps_are_those_of_nesterovs_momentum_with_clipped_gradients():
    """In float32, with an objective that differentiates; all images in each batch, so that the order is no matter."""
    terms = [*hard_labels().terms, Term("slope", input_gradient_loss, weight=0.01)]
    still, steps = Views(pad=0, flip=False), 3
    trained = member(0, Objective(terms))
    Fleet([trained], DATA.train, still, len(DATA.train), steps).train()
    model = network(1 / 32, 0)
    factors = Fleet([member(0)], DATA.train, still, 16, steps)._schedule
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9, nesterov=True)
    for factor in factors:
        inputs = DATA.train.inputs.clone().requires_grad_()
        logits = model(inputs)
        slopes = [
            torch.autograd.grad(logits[:, c].sum(), inputs, create_graph=True)[0].square().sum()
            for c in range(10)
        ]
        loss = torch.nn.functional.cross_entropy(logits, DATA.train.labels) + 0.01 * sum(slopes) / len(logits)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.param_groups[0]["lr"] = 0.05 * float(factor)
        optimizer.step()
    expected = torch.cat([each.detach().flatten() for each in model.parameters()])
    torch.testing.assert_close(weights(trained), expected, rtol=1e-4, atol=1e-5)


def test_a_member_draws_its_own_rows_evenly_and_learns_its_own_labels():
    rows = torch.tensor([3, 5, 8, 13])
    told = member(0, rows=rows, labels=torch.full((64,), 7), lr=0.1)
    fleet = Fleet([told], DATA.train, VIEWS, 8, 60)
    fleet._fill()
    drawn = fleet._order.flatten() // len(VIEWS)
    assert drawn.unique().tolist() == rows.tolist()
    assert drawn.bincount()[rows].tolist() == [CHUNK * 8 // 4] * 4
    fleet.train()
    assert (fleet.logits(DATA.test)[0].argmax(dim=1) == 7).all()


def test_batch_norm_learns_its_statistics_and_gives_them_back():
    torch.manual_seed(0)
    normed = alexnet((3, 32, 32), 10, width=1 / 32, batch_norm=True)
    before = normed.features[1].running_mean.clone()
    Fleet([Member(normed, hard_labels(), 0.05)], DATA.train, VIEWS, 16, 3).train()
    assert not torch.equal(normed.features[1].running_mean, before)
    assert normed.features[1].num_batches_tracked == 3


def test_the_learning_rate_rises_and_falls_to_zero():
    factors = Fleet([member(0)], DATA.train, VIEWS, 16, 100)._schedule
    assert factors.argmax() in (4, 5)
    assert factors.max() == 1
    assert 0 < factors[0] < 0.5
    assert 0 <= factors[-1] < 1e-3

from __future__ import annotations

import pytest
import torch

from adapters.training.loop import (
    AdamW,
    class_logits,
    cosine,
    cross_entropy,
    default_epochs,
    epoch_batches,
    threads_for,
    warmup_cosine,
)


def test_cross_entropy_and_its_gradient_are_autograds() -> None:
    logits = torch.randn(5, 3, generator=torch.Generator().manual_seed(0), requires_grad=True)
    labels = torch.tensor([0, 1, 2, 2, 0])
    expected = torch.nn.functional.cross_entropy(logits, labels)
    expected.backward()
    loss, gradient = cross_entropy(logits.detach(), labels)
    torch.testing.assert_close(loss, expected.detach())
    torch.testing.assert_close(gradient, logits.grad)


def test_class_by_class_and_with_weights_it_is_the_same() -> None:
    generator = torch.Generator().manual_seed(0)
    features, labels = torch.randn(2, 5, 6, generator=generator), torch.tensor([[0, 1, 2, 2, 0], [1, 1, 0, 2, 2]])
    for count in (3, 70):  # either side of where the layout changes
        classes = torch.randn(2, count, 6, generator=generator)
        logits = class_logits(features, classes)
        torch.testing.assert_close(logits, features @ classes.mT)
        expected = cross_entropy((features @ classes.mT).contiguous(), labels)
        torch.testing.assert_close(cross_entropy(logits, labels), expected)
        shares = torch.tensor([[0.25, 0.25, 0.25, 0.25, 0.0], [1.0, 0.0, 0.0, 0.0, 0.0]])
        for found, part in zip(
            *(cross_entropy(each, labels, shares) for each in (logits, logits.contiguous())), strict=True
        ):
            torch.testing.assert_close(found, part)
        loss, gradient = cross_entropy(logits, labels, shares)
        for g, rows in ((0, 4), (1, 1)):
            alone, expected_gradient = cross_entropy(logits[g, :rows].contiguous(), labels[g, :rows])
            torch.testing.assert_close(loss[g], alone)
            torch.testing.assert_close(gradient[g, :rows], expected_gradient)
            assert not gradient[g, rows:].any()


def test_adamw_is_torchs() -> None:
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(4, 3, generator=generator)
    reference = weight.clone().requires_grad_()
    optimizer = torch.optim.AdamW([reference], lr=0.1, eps=1e-4, weight_decay=0.05)
    ours = AdamW(weight, weight_decay=0.05, eps=1e-4)
    for lr in (0.1, 0.2, 0.05):
        gradient = torch.randn(4, 3, generator=generator)
        ours.step(gradient, lr)
        optimizer.param_groups[0]["lr"] = lr
        reference.grad = gradient
        optimizer.step()
    torch.testing.assert_close(weight, reference.detach())


def test_schedules() -> None:
    assert warmup_cosine(0.002, 3, 2) == pytest.approx([1e-5, 1e-5, 0.002, 0.002, 0.0015, 0.0015])
    assert warmup_cosine(0.002, 0, 0) == []
    assert cosine(1.0, 2) == pytest.approx([1.0, 0.5])
    assert [default_epochs(k) for k in (1, 2, 4, 8, 16)] == [50, 100, 100, 200, 200]


def test_batches_shuffle_every_epoch_and_drop_what_is_left_over() -> None:
    plan = epoch_batches(10, 4, 3, torch.Generator().manual_seed(0), drop_last=True)
    assert [[len(rows) for rows in epoch] for epoch in plan] == [[4, 4]] * 3
    whole = epoch_batches(10, 4, 3, torch.Generator().manual_seed(0), drop_last=False)
    assert [sorted(torch.cat(epoch).tolist()) for epoch in whole] == [list(range(10))] * 3
    assert whole[0][0].tolist() != whole[1][0].tolist()
    assert len(epoch_batches(3, 4, 1, torch.Generator(), drop_last=True)[0][0]) == 3


def test_threads_are_put_back() -> None:
    before = torch.get_num_threads()

    def fail() -> None:
        with threads_for(10):
            assert torch.get_num_threads() == 1
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert torch.get_num_threads() == before

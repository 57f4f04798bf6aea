"""Soft targets: the teacher's probabilities, softened by a temperature, as the student's labels."""

from torch import Tensor

from course_lib.losses.common import check_mask, check_outputs, check_positive, log_shares, mean_over


def soft_target_loss(
    student_logits: Tensor, teacher_logits: Tensor, temperature: float | Tensor, mask: Tensor | None = None
) -> Tensor:
    """Divergence of softened distributions, T² · 1/N Σ_i KL(softmax(y_i/T) ‖ softmax(F(x_i)/T)).

    Hinton, Vinyals and Dean, "Distilling the Knowledge in a Neural Network", 2015. The factor T² keeps the
    gradient's size independent of T; as T → ∞ the loss tends to ``logit_loss`` of the centred logits over 2C.

    Args:
        student_logits: F, shape (N, C), any floating type; half precision is computed in float32. Sequences
            (N, L, C) and maps (N, C, H, W) have a distribution at each position.
        teacher_logits: y, same shape; no gradient flows back to it.
        temperature: T > 0; 1 leaves the probabilities as they are, above 1 softens them.
        mask: torch.bool, one per position, (N,), (N, L) or (N, H, W): which of them count. All if None.

    Returns:
        A scalar ≥ 0 in nats (times T²): sum over classes, mean over all positions that count. Zero exactly where the
        two softened distributions agree. T² also magnifies rounding: in float32 the value is good to about 3 digits
        at T = 100 and to none beyond T = 10,000; pass float64 logits there.

    Raises:
        CourseError: a shape or type does not fit, or T is not a finite number above 0.

    Examples:
        >>> student, teacher = torch.zeros(1, 2), torch.tensor([[4.0, 0.0]])
        >>> losses.soft_target_loss(student, teacher, temperature=4.0)
        tensor(1.7751)
    """
    check_outputs(student_logits=student_logits, teacher_logits=teacher_logits)
    check_positive(temperature=temperature)
    check_mask(mask, student_logits)
    log_q = log_shares(student_logits, temperature)  # (C, N, ...)
    log_p = log_shares(teacher_logits.detach(), temperature)
    # Written out because F.kl_div has no vmap rule and would slow the training of many students at once.
    divergence = (log_p.exp() * (log_p - log_q)).sum(dim=0)  # (N, ...)
    return temperature**2 * mean_over(divergence, mask)

"""Training that can be run backwards to the bit, and so differentiated without keeping its states.

Maclaurin, Duvenaud and Adams 2015 (https://arxiv.org/abs/1502.03492). Parameters and averages are
integers (`fixed_point`), whose additions undo exactly; what a multiplication by a decay would lose
is kept (`information_buffer`), log2(1 / decay) bits a step; `training` steps forwards and back.

`taped_training` does it with steps of any kind, which lose more: what going back does not find by
itself is written on a tape, by an `entropy_coder`.
"""

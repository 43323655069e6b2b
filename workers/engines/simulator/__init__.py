"""The engine for machines without a GPU: says something plausible, at a set speed, or at a GPU's.

engine        plans what is said, and has a pace say it
generation    a request, its plan and its sink; what a pace is
fixed_pace    set times, however full the batch is
progress      ... when the tokens of one generation are due
prefix_cache  ... which prompt blocks were seen before
continuous_batching   the pace of a GPU, on the event loop
batch         ... its queue and its steps
cost_model    ... how long a step takes
kv_cache      ... who holds which blocks, and what is reused
plan          prompt -> all tokens of the answer: what an engine would find out step by step
conversation  prompt ids -> messages
prose         English without a meaning
tools         a call of a declared function
instance      JSON that fits a schema
constrained   a turn that keeps to its grammar, whatever the plan was
logprobs      how likely each token was, made up
directives    `SIM: {...}` lines: how tests make it misbehave
tokenizer     text <-> token ids
"""

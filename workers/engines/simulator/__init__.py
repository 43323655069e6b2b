"""The engine for machines without a GPU: says something plausible, at a set speed.

engine        generations in a batch, token by token
progress      when the tokens of one of them are due
prefix_cache  which prompt blocks were seen before
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

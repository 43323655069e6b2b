"""Gateways side by side, under the same load in one run: `make bench-peers`. See bench/README.md.

src/        a fake model server and a load generator, in C: they must cost little beside a gateway
conf/       how the others are set
scenarios   what is asked, and what is read off
gateways    how each is started; one class to add one
report      the table, and the record of a run
"""

"""Where requests come from, and whom to believe about it."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.iam.address import Ranges, client_address, read_address, source_of


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("192.0.2.1", "192.0.2.1"),
        (" 192.0.2.1 ", "192.0.2.1"),
        ("192.0.2.1:443", "192.0.2.1"),
        ("2001:db8::1", "2001:db8::1"),
        ("[2001:db8::1]:443", "2001:db8::1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
    ],
)
def test_addresses_are_read_as_proxies_write_them(text: str, address: str) -> None:
    assert read_address(text) == ipaddress.ip_address(address)


@given(st.text(max_size=100))
def test_no_text_makes_reading_an_address_fail(text: str) -> None:
    read_address(text)
    client_address(None, [text], trusted_hops=1)


def test_without_proxies_of_ours_a_client_cannot_say_where_it_comes_from() -> None:
    address = client_address("192.0.2.1", ["10.0.0.1"], trusted_hops=0)
    assert str(address) == "192.0.2.1"


def test_behind_proxies_what_they_have_seen_counts_and_not_what_the_client_wrote() -> None:
    header = ["10.0.0.1, 10.0.0.2", "203.0.113.7, 172.16.0.1"]
    assert str(client_address("172.16.0.2", header, trusted_hops=1)) == "172.16.0.1"
    assert str(client_address("172.16.0.2", header, trusted_hops=2)) == "203.0.113.7"


@pytest.mark.parametrize("header", [[], ["203.0.113.7"], ["unknown, 172.16.0.1"]])
def test_a_request_that_has_passed_too_few_proxies_has_no_address(header: list[str]) -> None:
    assert client_address("192.0.2.1", header, trusted_hops=2) is None


def test_an_ipv6_client_is_counted_by_its_64() -> None:
    one, other = read_address("2001:db8::1"), read_address("2001:db8::ffff:1")
    assert source_of(one) == source_of(other) != source_of(read_address("2001:db8:0:1::1"))
    assert source_of(read_address("192.0.2.1")) != source_of(read_address("192.0.2.2"))


@given(
    st.ip_addresses(),
    st.one_of(
        st.builds(
            lambda a, n: ipaddress.ip_network((a, n), strict=False),
            st.ip_addresses(v=4),
            st.integers(0, 32),
        ),
        st.builds(
            lambda a, n: ipaddress.ip_network((a, n), strict=False),
            st.ip_addresses(v=6),
            st.integers(0, 128),
        ),
    ),
)
def test_a_range_holds_the_addresses_that_it_says(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address,
    network: ipaddress.IPv4Network | ipaddress.IPv6Network,
) -> None:
    assert (address in Ranges.read([str(network)])) == (address in network)


@pytest.mark.parametrize("text", ["", "10.0.0.1/8", "10.0.0.0/33", "localhost", "10.0.0.0/8,"])
def test_what_is_no_range_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is no address range"):
        Ranges.read([text])

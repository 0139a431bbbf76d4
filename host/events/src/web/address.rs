//! What kind of place an address is. Whatever is not plainly the public internet
//! has a name here, and is refused unless a grant says otherwise.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The range that an address lies in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AddressRange {
    /// The internet.
    Public,
    /// This machine.
    Loopback,
    /// A network of one's own: RFC 1918, unique local, or shared by a carrier.
    Private,
    /// This link: neighbours, and the metadata services of clouds.
    LinkLocal,
    /// A known service that gives credentials to whoever asks.
    Metadata,
    /// Another address inside: mapped, compatible, NAT64, 6to4, Teredo.
    Translated,
    /// Many at once.
    Multicast,
    /// Not an address of anybody: unspecified, documentation, benchmarks, reserved.
    Reserved,
}

impl AddressRange {
    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Public => "public",
            Self::Loopback => "loopback",
            Self::Private => "private",
            Self::LinkLocal => "link-local",
            Self::Metadata => "metadata",
            Self::Translated => "translated",
            Self::Multicast => "multicast",
            Self::Reserved => "reserved",
        }
    }

    /// Whether a grant with `private = true` reaches it. The others are reached only
    /// by a grant that names the address itself.
    pub const fn is_ones_own(self) -> bool {
        match self {
            Self::Loopback | Self::Private => true,
            Self::Public
            | Self::LinkLocal
            | Self::Metadata
            | Self::Translated
            | Self::Multicast
            | Self::Reserved => false,
        }
    }
}

impl fmt::Display for AddressRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The range of an address.
pub fn range_of(address: IpAddr) -> AddressRange {
    match address {
        IpAddr::V4(address) => range_of_4(address),
        IpAddr::V6(address) => range_of_6(address),
    }
}

/// Services that hand out credentials: AWS, Google and Azure; Alibaba; Oracle;
/// and the platform address of Azure.
const METADATA_4: [Ipv4Addr; 4] = [
    Ipv4Addr::new(169, 254, 169, 254),
    Ipv4Addr::new(100, 100, 100, 200),
    Ipv4Addr::new(192, 0, 0, 192),
    Ipv4Addr::new(168, 63, 129, 16),
];

/// The same of AWS over IPv6: the service, its DNS and its clock.
const METADATA_6: [Ipv6Addr; 1] = [Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254)];

#[expect(
    clippy::unnested_or_patterns,
    reason = "one range of the registry is one line"
)]
fn range_of_4(address: Ipv4Addr) -> AddressRange {
    let [a, b, c, _] = address.octets();
    match (a, b, c) {
        _ if METADATA_4.contains(&address) => AddressRange::Metadata,
        (127, _, _) => AddressRange::Loopback,
        (10, _, _) | (172, 16..=31, _) | (192, 168, _) | (100, 64..=127, _) => {
            AddressRange::Private
        }
        (169, 254, _) => AddressRange::LinkLocal,
        (224..=239, _, _) => AddressRange::Multicast,
        // This network; protocol assignments and 6to4 relays; documentation;
        // benchmarks; class E and the broadcast address.
        (0, _, _)
        | (192, 0, 0 | 2)
        | (192, 88, 99)
        | (198, 18..=19, _)
        | (198, 51, 100)
        | (203, 0, 113)
        | (240..=255, _, _) => AddressRange::Reserved,
        _ => AddressRange::Public,
    }
}

fn range_of_6(address: Ipv6Addr) -> AddressRange {
    let segments = address.segments();
    match segments {
        _ if METADATA_6.contains(&address) => AddressRange::Metadata,
        [0, 0, 0, 0, 0, 0, 0, 1] => AddressRange::Loopback,
        [0, 0, 0, 0, 0, 0, 0, 0] => AddressRange::Reserved,
        // Compatible, mapped, translated (SIIT), NAT64 well known and local, 6to4, Teredo.
        [0, 0, 0, 0, 0, 0 | 0xffff, ..]
        | [0, 0, 0, 0, 0xffff, 0, ..]
        | [0x64, 0xff9b, ..]
        | [0x2002, ..]
        | [0x2001, 0, ..] => AddressRange::Translated,
        [0xfc00..=0xfdff, ..] => AddressRange::Private,
        [0xfe80..=0xfebf, ..] => AddressRange::LinkLocal,
        [0xff00..=0xffff, ..] => AddressRange::Multicast,
        // Protocol assignments, documentation.
        [0x2001, 0..=0x1ff | 0xdb8, ..] | [0x3fff, 0..=0xfff, ..] => AddressRange::Reserved,
        // Only 2000::/3 is given to anybody.
        [0x2000..=0x3fff, ..] => AddressRange::Public,
        _ => AddressRange::Reserved,
    }
}

#[cfg(test)]
mod tests {
    use super::AddressRange::{
        LinkLocal, Loopback, Metadata, Multicast, Private, Public, Reserved, Translated,
    };
    use super::*;

    /// Addresses of each range, its borders among them.
    const RANGES: [(AddressRange, &str); 8] = [
        (
            Public,
            "1.1.1.1 9.255.255.255 11.0.0.0 100.63.255.255 100.128.0.0 126.255.255.255 \
             128.0.0.0 169.253.255.255 169.255.0.0 172.15.255.255 172.32.0.0 \
             192.167.255.255 192.169.0.0 198.17.255.255 198.20.0.0 223.255.255.255 \
             2606:4700::1111 2a00:1450::1 2001:4860::1 2003::1",
        ),
        (Loopback, "127.0.0.1 127.255.255.255 127.1.2.3 ::1"),
        (
            Private,
            "10.0.0.0 10.255.255.255 172.16.0.1 172.31.255.255 192.168.0.1 100.64.0.1 \
             100.127.255.255 fc00::1 fd12::1",
        ),
        (LinkLocal, "169.254.0.1 169.254.255.255 fe80::1 febf::1"),
        (
            Metadata,
            "169.254.169.254 fd00:ec2::254 100.100.100.200 192.0.0.192 168.63.129.16",
        ),
        (
            Translated,
            "::ffff:127.0.0.1 ::ffff:8.8.8.8 ::127.0.0.1 ::ffff:0:127.0.0.1 \
             64:ff9b::7f00:1 64:ff9b:1::1 2002:7f00:1:: 2001::1 2001:0:1::1",
        ),
        (Multicast, "224.0.0.1 239.255.255.255 ff02::1"),
        (
            Reserved,
            "0.0.0.0 0.1.2.3 192.0.0.1 192.0.2.1 192.88.99.1 198.18.0.1 198.19.255.255 \
             198.51.100.1 203.0.113.1 240.0.0.1 255.255.255.255 :: 2001:db8::1 2001:2::1 \
             3fff::1 4000::1 fec0::1 100::1 5f00::1",
        ),
    ];

    #[test]
    fn every_range_that_is_not_the_internet_is_known() {
        for (range, addresses) in RANGES {
            for text in addresses.split_whitespace() {
                assert_eq!(range_of(text.parse().unwrap()), range, "{text}");
            }
        }
    }
}

use super::*;

fn check_url(text: &str) -> Result<(), Forbidden> {
    Guard::public_only().check(&Url::parse(text).unwrap())
}

#[test]
fn public_pages_are_allowed() {
    for url in [
        "https://example.com/",
        "http://example.com:8080/a?b#c",
        "https://EXAMPLE.com./",
        "http://93.184.216.34/",
        "http://1.1.1.1:3000/",
        "https://[2606:4700::1111]/",
        "http://172.15.255.255/",
        "http://172.32.0.0/",
        "http://100.63.255.255/",
        "http://100.128.0.0/",
        "http://198.17.255.255/",
        "http://198.20.0.0/",
        "http://[2003::1]/",
    ] {
        assert_eq!(check_url(url), Ok(()), "{url}");
    }
}

#[test]
fn every_spelling_of_an_address_outside_the_internet_is_refused() {
    for url in [
        // loopback: dotted, short, integer, hex, octal, mixed, padded, encoded, full-width, dot
        "http://127.0.0.1/",
        "http://127.1/",
        "http://2130706433/",
        "http://0x7f000001/",
        "http://0x7f.1/",
        "http://017700000001/",
        "http://0177.0.0.01/",
        "http://127.0.0.1./",
        "http://%31%32%37.0.0.1/",
        "http://\u{ff11}\u{ff12}\u{ff17}.0.0.1/",
        "http://127\u{3002}0\u{3002}0\u{3002}1/",
        "http://0/",
        "http://0.0.0.0/",
        // metadata service
        "http://169.254.169.254/latest/meta-data/",
        "http://2852039166/",
        "http://0XA9FEA9FE/",
        // private, CGNAT, documentation, benchmark, reserved, multicast, broadcast
        "http://10.1.2.3/",
        "http://172.16.0.1/",
        "http://172.31.255.255/",
        "http://192.168.0.1/",
        "http://100.64.0.1/",
        "http://100.127.255.255/",
        "http://192.0.0.8/",
        "http://192.0.2.1/",
        "http://198.51.100.1/",
        "http://203.0.113.1/",
        "http://192.88.99.1/",
        "http://198.18.0.1/",
        "http://198.19.255.255/",
        "http://224.0.0.1/",
        "http://240.0.0.1/",
        "http://255.255.255.255/",
        // IPv6
        "http://[::]/",
        "http://[::1]/",
        "http://[0:0:0:0:0:0:0:1]/",
        "http://[::ffff:127.0.0.1]/",
        "http://[::FFFF:7f00:1]/",
        "http://[::ffff:93.184.216.34]/",
        "http://[::127.0.0.1]/",
        "http://[64:ff9b::7f00:1]/",
        "http://[64:ff9b:1::1]/",
        "http://[100::1]/",
        "http://[2001::1]/",
        "http://[2001:2::1]/",
        "http://[2001:10::1]/",
        "http://[2001:db8::1]/",
        "http://[2002:7f00:1::]/",
        "http://[3fff::1]/",
        "http://[5f00::1]/",
        "http://[fc00::1]/",
        "http://[fd12:3456::1]/",
        "http://[fe80::1]/",
        "http://[fec0::1]/",
        "http://[ff02::1]/",
    ] {
        assert_eq!(check_url(url), Err(Forbidden::NotPublic), "{url}");
    }
}

#[test]
fn schemes_credentials_and_ports_of_other_protocols_are_refused() {
    for (url, expected) in [
        ("ftp://example.com/", Forbidden::Scheme { scheme: "ftp".into() }),
        ("file:///etc/passwd", Forbidden::Scheme { scheme: "file".into() }),
        ("data:text/html,x", Forbidden::Scheme { scheme: "data".into() }),
        ("http://user@example.com/", Forbidden::Credentials),
        ("http://:secret@example.com/", Forbidden::Credentials),
        ("http://example.com@127.0.0.1/", Forbidden::Credentials),
        ("http://example.com:22/", Forbidden::Port { port: 22 }),
        ("http://example.com:25/", Forbidden::Port { port: 25 }),
        ("http://example.com:0/", Forbidden::Port { port: 0 }),
        ("http://example.com:6667/", Forbidden::Port { port: 6667 }),
        ("http://example.com:11211/", Forbidden::Port { port: 11211 }),
    ] {
        assert_eq!(check_url(url), Err(expected), "{url}");
    }
}

#[test]
fn an_extra_network_opens_itself_and_nothing_else() {
    let guard =
        Guard::with_networks(["10.20.0.0/16".parse().unwrap(), "fd00::/8".parse().unwrap()]);
    assert!(guard.permits("10.20.3.4".parse().unwrap()));
    assert!(guard.permits("fd00::7".parse().unwrap()));
    for closed in ["10.21.0.1", "127.0.0.1", "::ffff:10.20.3.4", "fc00::1", "169.254.169.254"] {
        assert!(!guard.permits(closed.parse().unwrap()), "{closed}");
    }
}

#[test]
fn an_answer_keeps_only_its_public_addresses() {
    let answer = |texts: &[&str]| -> Result<Vec<String>, Forbidden> {
        let addresses: Vec<SocketAddr> =
            texts.iter().map(|text| SocketAddr::new(text.parse().unwrap(), 0)).collect();
        keep_permitted(&Guard::public_only(), addresses.into_iter())
            .map(|kept| kept.map(|address| address.ip().to_string()).collect())
    };
    assert_eq!(
        answer(&["10.0.0.1", "1.1.1.1", "::1", "2606:4700::1111"]),
        Ok(vec!["1.1.1.1".to_owned(), "2606:4700::1111".to_owned()])
    );
    assert_eq!(answer(&["169.254.169.254", "fe80::1"]), Err(Forbidden::NotPublic));
    assert_eq!(answer(&[]), Err(Forbidden::NotPublic));
    let many = vec!["1.1.1.1"; 100];
    assert_eq!(answer(&many).unwrap().len(), ADDRESSES_PER_NAME_MAX);
}

#[tokio::test]
async fn a_name_that_leads_to_loopback_does_not_resolve() {
    for name in ["localhost", "LOCALHOST"] {
        let resolver = GuardedResolver::new(Guard::public_only());
        let Err(error) = resolver.resolve(name.parse().unwrap()).await else {
            panic!("{name} resolved");
        };
        assert_eq!(error.downcast_ref::<Forbidden>(), Some(&Forbidden::NotPublic), "{name}");
    }
}

proptest::proptest! {
    /// Every IPv4 address hidden inside an IPv6 one is refused, whatever it is.
    #[test]
    fn embedded_ipv4_addresses_are_refused(bits: u32) {
        let [a, b, c, d] = bits.to_be_bytes();
        let (high, low) = (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]));
        let guard = Guard::public_only();
        for address in [
            Ipv6Addr::new(0, 0, 0, 0, 0, 0xffff, high, low),
            Ipv6Addr::new(0, 0, 0, 0, 0, 0, high, low),
            Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, high, low),
            Ipv6Addr::new(0x2002, high, low, 0, 0, 0, 0, 1),
            Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, !high, !low),
        ] {
            proptest::prop_assert!(!guard.permits(IpAddr::V6(address)), "{}", address);
        }
    }

    /// What the standard library already calls special is never permitted.
    #[test]
    fn nothing_special_is_permitted(bits: u32) {
        let address = Ipv4Addr::from(bits);
        if Guard::public_only().permits(IpAddr::V4(address)) {
            proptest::prop_assert!(!(address.is_private() || address.is_loopback()
                || address.is_link_local() || address.is_multicast() || address.is_broadcast()
                || address.is_documentation() || address.is_unspecified()));
        }
    }

    /// An integer spelling in a URL is judged like the dotted one.
    #[test]
    fn an_integer_host_is_judged_as_its_address(bits: u32) {
        let guard = Guard::public_only();
        let url = Url::parse(&format!("http://{bits}/")).unwrap();
        let permitted = guard.permits(IpAddr::V4(Ipv4Addr::from(bits)));
        proptest::prop_assert_eq!(guard.check(&url).is_ok(), permitted);
    }
}

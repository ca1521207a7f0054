//! Whatever bytes come, nothing panics, and no answer breaks its bounds.

use hull_dns::{Answer, Directory, Kind, Query, answer, truncated};

/// A xorshift of fixed seed: the same mutations every time.
struct Random(u64);

impl Random {
    fn next(&mut self, below: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % below.max(1) as u64) as usize
    }
}

fn seeds() -> Vec<Vec<u8>> {
    let plain = b"\x12\x34\x01\x00\0\x01\0\0\0\0\0\0\x03web\0\0\x01\0\x01".to_vec();
    let mut edns = plain.clone();
    edns[11] = 1;
    edns.extend(b"\0\0\x29\x04\xd0\0\0\x80\0\0\x0c\0\x0a\0\x08\x01\x02\x03\x04\x05\x06\x07\x08");
    let pointer =
        b"\0\x01\x01\0\0\x01\0\0\0\0\0\0\x012\x010\x0218\x03172\x07in-addr\x04arpa\0\0\x0c\0\x01".to_vec();
    let mut response = plain.clone();
    response[2] |= 0x80;
    response[7] = 1;
    response.extend(b"\xc0\x0c\0\x01\0\x01\0\0\x02\x58\0\x04\xac\x12\0\x02");
    vec![plain, edns, pointer, response]
}

#[test]
fn mutated_messages_do_no_harm() {
    let folder = tempfile::tempdir().unwrap();
    let many: String = (0..200).map(|n| format!("+172.18.0.{n} web web{n}\n")).collect();
    std::fs::write(folder.path().join("aa"), format!("hull-names 2\n{many}")).unwrap();
    let settings = folder.path().join("settings");
    let text =
        format!("hull-resolver 1\nnames {}\nnetwork 0 aa net\nserver 10.0.0.1\n", folder.path().display());
    std::fs::write(&settings, text).unwrap();
    let mut directory = Directory::open(&settings).unwrap();
    directory.refresh();
    let (mut random, mut replies, mut forwarded) = (Random(0x9e37_79b9_7f4a_7c15), 0, 0);
    for round in 0..400_000 {
        let seeds = seeds();
        let mut message = seeds[round % seeds.len()].clone();
        for _ in 0..random.next(6) {
            match random.next(4) {
                0 if !message.is_empty() => {
                    let place = random.next(message.len());
                    message[place] = random.next(256) as u8;
                }
                1 => message.truncate(random.next(message.len() + 1)),
                2 => {
                    let (place, value) = (random.next(message.len() + 1), random.next(256) as u8);
                    message.insert(place, value);
                }
                _ => {
                    let tail = message[random.next(message.len())..].to_vec();
                    message.extend(tail);
                }
            }
            if message.is_empty() {
                break;
            }
        }
        let by_udp = random.next(2) == 0;
        match answer(&message, &directory, by_udp, round) {
            Answer::Reply(reply) => {
                replies += 1;
                assert_eq!(reply[..2], message[..2]);
                assert_ne!(reply[2] & 0x80, 0);
                if by_udp {
                    let limit = Query::parse(&message).map_or(512, |query| query.limit());
                    assert!(reply.len() <= limit.max(512), "{message:02x?}");
                }
            }
            Answer::Forward(query) => {
                forwarded += 1;
                let known = query.internet && query.name.as_deref() == Some("web");
                assert!(!known, "a name that is known here goes nowhere");
                let _ = matches!(query.kind, Kind::A);
            }
            Answer::Nothing => {}
        }
        let limit = random.next(600);
        let short = truncated(&message, limit);
        assert!(short.len() <= message.len());
        let question = truncated(&message, 0).len();
        assert!(short.len() <= limit.max(question), "{message:02x?}");
    }
    assert!(replies > 100_000 && forwarded > 1000, "{replies} {forwarded}");
}

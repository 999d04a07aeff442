//! Joining with a token.

use kakunin_core::issue::Profile;
use kakunin_core::log::record::Control;
use kakunin_core::service::Kakunin;
use kakunin_core::time::{DAY, MINUTE};
use pollster::block_on;

use crate::common::{NOW, config};
use crate::world::{World, code, world};

#[test]
fn a_join_token_opens_once_in_time_for_its_agent() {
    let w = world();
    let (one, two) = (w.agent(), w.agent());
    let (void, token) = (w.join(&one), w.join(&one));
    let altered = format!("{}{}", &token[..60], if &token[60..61] == "A" { "B" } else { "A" }) + &token[61..];
    for bad in [void.as_str(), "", "kjt_", &altered, &token[1..], "kak_live_x"] {
        assert_eq!(code(w.enrol(bad, 0)), "join_token_invalid", "{bad}");
    }
    let issued = w.enrol(&token, 0).unwrap();
    assert_eq!(issued.facts.agent, one);
    assert!(issued.facts.not_after.since(NOW) <= 30 * DAY, "the token says which profile");
    assert_eq!(code(w.enrol(&token, 2)), "join_token_invalid");
    let late = w.join(&two);
    w.clock.set(NOW.plus(MINUTE + 1));
    assert_eq!(code(w.enrol(&late, 2)), "join_token_invalid");
    let tenant = w.kakunin.tenant(&w.acme);
    let long = tenant.create_join_token(&two, Profile::Standard, 11 * MINUTE);
    assert_eq!(code(block_on(long)), "join_token_life");
    // After a restart too.
    let token = w.join(&two);
    let w = World { kakunin: block_on(Kakunin::open(config(), w.parts.clone())).unwrap(), ..w };
    assert!(w.enrol(&token, 4).is_ok());
    let ordered = block_on(w.kakunin.tenant(&w.acme).records(None, 1, |_| true)).unwrap().items;
    assert!(ordered.iter().all(|r| r.record.by.as_ref().unwrap().as_str().starts_with("join:")));
    assert!(!format!("{:?}", w.controls()).contains(&token[4..]));
}

#[test]
fn a_race_for_a_join_token_has_one_winner() {
    for _ in 0..20 {
        let w = world();
        let token = w.join(&w.agent());
        let requests: Vec<_> = (0..8).map(|n| w.request(n)).collect();
        let won = std::thread::scope(|scope| {
            let mut threads = Vec::new();
            for request in &requests {
                let (kakunin, token) = (w.kakunin.clone(), token.as_str());
                threads.push(scope.spawn(move || block_on(kakunin.enrol(token, request)).is_ok()));
            }
            threads.into_iter().map(|t| t.join().unwrap()).filter(|won| *won).count()
        });
        assert_eq!(won, 1);
        let issued = w.controls().iter().filter(|c| matches!(c, Control::CertificateIssued { .. })).count();
        assert_eq!(issued, 1);
    }
}

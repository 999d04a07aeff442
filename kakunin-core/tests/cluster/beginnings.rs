//! Of several that make a deployment at once one does, whenever the others looked.

use std::sync::{Arc, Barrier};

use kakunin_core::log::entry::LogId;
use kakunin_core::log::record::Record;
use kakunin_core::service::{Kakunin, Parts};
use kakunin_kms::local::LocalKeys;
use pollster::block_on;

use crate::common::config;
use crate::member::All;

fn parts(all: &Arc<All>, keys: &Arc<LocalKeys>) -> Parts {
    let member = all.join();
    Parts { sink: member.clone(), duties: member, ..Parts::shared(all.store.clone(), keys.clone()) }
}

fn made(kakunin: &Kakunin) -> usize {
    let entries = block_on(kakunin.read_log(&LogId::System, 0, usize::MAX)).unwrap();
    entries.iter().filter(|entry| Record::open(entry).unwrap().name() == "deployment.created").count()
}

#[test]
fn who_looked_before_it_was_made_makes_no_second_one() {
    let (all, keys) = (Arc::<All>::default(), Arc::new(LocalKeys::ephemeral()));
    let late = parts(&all, &keys);
    let (first, empty) = (parts(&all, &keys), late.sink.clone());
    // By the time that it makes its keys another one is there.
    let meanwhile = all.clone();
    meanwhile.after_the_next_look(move || _ = block_on(Kakunin::open(config(), first.clone())).unwrap());
    assert_eq!(block_on(empty.logs()).unwrap(), []);
    let late = block_on(Kakunin::open(config(), late)).unwrap();
    assert_eq!((made(&late), late.authorities().len()), (1, 1));
    assert_eq!(late.damage().named, Vec::<String>::new());
}

#[test]
fn of_many_at_once_one_makes_it() {
    for _ in 0..10 {
        let (all, keys) = (Arc::<All>::default(), Arc::new(LocalKeys::ephemeral()));
        let barrier = Barrier::new(4);
        let opened: Vec<_> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4)
                .map(|_| {
                    let (parts, barrier) = (parts(&all, &keys), &barrier);
                    scope.spawn(move || {
                        barrier.wait();
                        block_on(Kakunin::open(config(), parts)).unwrap()
                    })
                })
                .collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        let issuer = opened[0].authorities()[0].issuer.id();
        for kakunin in &opened {
            assert_eq!((made(kakunin), kakunin.authorities().len()), (1, 1));
            assert_eq!(kakunin.authorities()[0].issuer.id(), issuer);
            assert_eq!(kakunin.damage().named, Vec::<String>::new());
        }
    }
}

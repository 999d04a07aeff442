//! [`Vault`].

use std::sync::Arc;

use super::at_once;
use crate::store::vault::Vault;

/// Every property but surviving a restart, which needs [`secrets_survive_reopening`]. The vault must be empty.
pub async fn all(vault: &dyn Vault) {
    what_is_put_is_kept_until_it_is_removed(vault).await;
    names_are_listed_in_order_and_by_their_beginning(vault).await;
    several_are_kept_and_found_in_one_call(vault).await;
    many_at_once(vault).await;
    of_many_that_keep_something_new_one_does(vault).await;
}

/// The last secret of a name is the one that is kept, octet for octet; removing is done once, and again.
pub async fn what_is_put_is_kept_until_it_is_removed(vault: &dyn Vault) {
    let (one, other) = (b"one".as_slice(), b"other".as_slice());
    assert_eq!(vault.get(one).await.unwrap(), None);
    for secret in [b"first".as_slice(), b"", &[0, 255, 10]] {
        vault.put(one, secret).await.unwrap();
        assert_eq!(vault.get(one).await.unwrap().unwrap(), secret);
    }
    vault.put(other, b"stays").await.unwrap();
    for _ in 0..2 {
        vault.remove(&[one.to_vec(), b"never there".to_vec()]).await.unwrap();
        assert_eq!(vault.get(one).await.unwrap(), None);
    }
    assert_eq!(vault.get(other).await.unwrap().unwrap(), b"stays");
    vault.remove(&[]).await.unwrap();
}

/// What is put together is kept as if it were put one by one, and found in the order that was asked for.
pub async fn several_are_kept_and_found_in_one_call(vault: &dyn Vault) {
    let names = ["some/1", "some/2", "some/3"].map(|name| name.as_bytes().to_vec());
    let rows: Vec<_> = names.iter().map(|name| (name.clone(), name.clone())).collect();
    for _ in 0..2 {
        vault.put_all(&rows).await.unwrap();
    }
    vault.put_all(&[]).await.unwrap();
    let [one, two, three] = names;
    let asked = [three.clone(), b"some/4".to_vec(), one.clone(), three.clone()];
    let found = vault.get_all(&asked).await.unwrap();
    assert_eq!(found, [Some(three.clone()), None, Some(one.clone()), Some(three.clone())]);
    assert!(vault.get_all(&[]).await.unwrap().is_empty());
    vault.remove(&[one, two, three]).await.unwrap();
}

/// A prefix lists what begins with it and goes on, and nothing else.
pub async fn names_are_listed_in_order_and_by_their_beginning(vault: &dyn Vault) {
    for name in ["key/b", "key/a", "key/", "key", "kez/a", "ke", "key/c"] {
        vault.put(name.as_bytes(), name.as_bytes()).await.unwrap();
    }
    let listed = |rows: Vec<(Vec<u8>, Vec<u8>)>| -> Vec<String> {
        assert!(rows.iter().all(|(name, secret)| name == secret));
        rows.into_iter().map(|(name, _)| String::from_utf8(name).unwrap()).collect()
    };
    assert_eq!(listed(vault.list(b"key/", 10).await.unwrap()), ["key/a", "key/b", "key/c"]);
    assert_eq!(listed(vault.list(b"key/", 2).await.unwrap()), ["key/a", "key/b"]);
    assert!(vault.list(b"nobody", 10).await.unwrap().is_empty());
}

/// Calls at once lose nothing of each other.
pub async fn many_at_once(vault: &dyn Vault) {
    at_once(16, |i| async move {
        let name = format!("crowd/{i:02}");
        vault.put(name.as_bytes(), &[u8::try_from(i).unwrap()]).await.unwrap();
        assert_eq!(vault.get(name.as_bytes()).await.unwrap().unwrap(), [u8::try_from(i).unwrap()]);
    });
    assert_eq!(vault.list(b"crowd/", 100).await.unwrap().len(), 16);
}

/// What is kept only if it is new is kept once, however many try, and again after it was removed.
pub async fn of_many_that_keep_something_new_one_does(vault: &dyn Vault) {
    let name = b"new".as_slice();
    let secret = |i: usize| [u8::try_from(i).unwrap()];
    let done = at_once(16, |i| async move { vault.put_new(name, &secret(i)).await.unwrap() });
    assert_eq!(done.iter().filter(|done| **done).count(), 1);
    let winner = done.iter().position(|done| *done).unwrap();
    assert_eq!(vault.get(name).await.unwrap().unwrap(), secret(winner));
    vault.remove(&[name.to_vec()]).await.unwrap();
    assert!(vault.put_new(name, b"again").await.unwrap());
    vault.remove(&[name.to_vec()]).await.unwrap();
}

/// What was put is there after the vault was closed and opened again, and what was removed is not.
pub async fn secrets_survive_reopening(open: impl Fn() -> Arc<dyn Vault>) {
    let vault = open();
    vault.put(b"kept", b"1").await.unwrap();
    vault.put(b"gone", b"2").await.unwrap();
    vault.remove(&[b"gone".to_vec()]).await.unwrap();
    drop(vault);
    let vault = open();
    assert_eq!(vault.get(b"kept").await.unwrap().unwrap(), b"1");
    assert_eq!(vault.get(b"gone").await.unwrap(), None);
}

//! The algorithms that the crate is built on do what their specifications say, and refuse what they must.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

use aes_gcm::Aes256Gcm;
use aes_gcm::aead::{Aead, KeyInit, KeySizeUser, Payload};
use argon2::{Algorithm, Argon2, AssociatedData, ParamsBuilder, Version};
use hkdf::Hkdf;
use hmac::{Hmac, Mac};
use serde_json::Value;
use sha2::Sha256;
use xaes_256_gcm::Xaes256Gcm;

fn published(name: &str) -> Vec<Value> {
    let text = include_str!("vectors/published.json");
    let all: Value = serde_json::from_str(text).unwrap();
    let vectors = all[name].as_array().unwrap().clone();
    assert!(!vectors.is_empty());
    vectors
}

fn hex(vector: &Value, name: &str) -> Vec<u8> {
    let text = vector[name].as_str().expect(name);
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    assert!(rest.is_empty());
    let byte = |pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    pairs.iter().map(|pair| byte(pair.as_slice())).collect()
}

fn number(vector: &Value, name: &str) -> u32 {
    vector[name].as_u64().expect(name).try_into().unwrap()
}

/// A tag as a forger would try it.
fn forged_tags(tag: &[u8]) -> Vec<Vec<u8>> {
    let each = |change: fn(u8) -> u8| tag.iter().map(|byte| change(*byte)).collect::<Vec<u8>>();
    let mut forged: Vec<_> = (0..8 * tag.len())
        .map(|bit| {
            let mut tag = tag.to_vec();
            tag[bit / 8] ^= 1 << (bit % 8);
            tag
        })
        .collect();
    forged.extend([each(|_| 0), each(|_| 0xFF), each(|byte| !byte)]);
    forged.extend([each(|byte| byte ^ 0x80), each(|byte| byte ^ 1)]);
    forged.extend((0..tag.len()).map(|len| tag[..len].to_vec()));
    forged.push([tag, &[0]].concat());
    let mut turned = tag.to_vec();
    turned.reverse();
    forged.push(turned);
    forged
}

/// Seals and opens as published, and refuses everything that is nearly the same.
fn check_aead<C: Aead + KeyInit + KeySizeUser>(name: &str) {
    for vector in published(name) {
        let [key, nonce, aad, text, sealed] =
            ["key", "nonce", "aad", "text", "sealed"].map(|name| hex(&vector, name));
        let cipher = C::new_from_slice(&key).unwrap();
        let seal = |nonce: &[u8], aad: &[u8], msg: &[u8]| {
            cipher.encrypt(nonce.try_into().unwrap(), Payload { msg, aad })
        };
        let open = |nonce: &[u8], aad: &[u8], msg: &[u8]| {
            cipher.decrypt(nonce.try_into().unwrap(), Payload { msg, aad })
        };
        assert_eq!(seal(&nonce, &aad, &text).unwrap(), sealed, "{vector}");
        assert_eq!(open(&nonce, &aad, &sealed).unwrap(), text, "{vector}");

        let (body, tag) = sealed.split_at(sealed.len() - 16);
        for forged in forged_tags(tag) {
            assert!(
                open(&nonce, &aad, &[body, &forged].concat()).is_err(),
                "{forged:?}"
            );
        }
        for place in 0..body.len() {
            let mut changed = sealed.clone();
            changed[place] ^= 0x10;
            assert!(open(&nonce, &aad, &changed).is_err(), "byte {place}");
            assert!(
                open(&nonce, &aad, &sealed[place + 1..]).is_err(),
                "from {place}"
            );
        }
        for place in 0..nonce.len() {
            let mut changed = nonce.clone();
            changed[place] ^= 1;
            assert!(
                open(&changed, &aad, &sealed).is_err(),
                "byte {place} of the nonce"
            );
        }
        assert!(open(&nonce, &[&aad[..], &[0]].concat(), &sealed).is_err());
        assert!(aad.is_empty() || open(&nonce, &aad[1..], &sealed).is_err());
        let mut other = key.clone();
        other[31] ^= 1;
        let other = C::new_from_slice(&other).unwrap();
        let payload = Payload {
            msg: &sealed,
            aad: &aad,
        };
        assert!(
            other
                .decrypt(nonce.as_slice().try_into().unwrap(), payload)
                .is_err()
        );
    }
}

#[test]
fn xaes_256_gcm_is_that_of_c2sp() {
    check_aead::<Xaes256Gcm>("xaes_256_gcm");
}

#[test]
fn aes_256_gcm_is_that_of_the_specification() {
    check_aead::<Aes256Gcm>("aes_256_gcm");
}

#[test]
fn argon2id_is_that_of_rfc_9106() {
    for vector in published("argon2id") {
        let [password, salt, secret, data, key] =
            ["password", "salt", "secret", "data", "key"].map(|name| hex(&vector, name));
        let params = ParamsBuilder::new()
            .m_cost(number(&vector, "memory_kib"))
            .t_cost(number(&vector, "passes"))
            .p_cost(number(&vector, "lanes"))
            .data(AssociatedData::new(&data).unwrap())
            .output_len(key.len())
            .build()
            .unwrap();
        let argon2 =
            Argon2::new_with_secret(&secret, Algorithm::Argon2id, Version::V0x13, params).unwrap();
        let mut output = vec![0; key.len()];
        argon2
            .hash_password_into(&password, &salt, &mut output)
            .unwrap();
        assert_eq!(output, key);
    }
}

#[test]
fn hkdf_and_hmac_are_those_of_their_rfcs() {
    for vector in published("hkdf_sha_256") {
        let [key, salt, info, expected] =
            ["key", "salt", "info", "output"].map(|name| hex(&vector, name));
        let mut output = vec![0; expected.len()];
        Hkdf::<Sha256>::new(Some(&salt), &key)
            .expand(&info, &mut output)
            .unwrap();
        assert_eq!(output, expected);
    }
    for vector in published("hmac_sha_256") {
        let [key, text, expected] = ["key", "text", "mac"].map(|name| hex(&vector, name));
        let mut mac = <Hmac<Sha256> as KeyInit>::new_from_slice(&key).unwrap();
        mac.update(&text);
        assert_eq!(mac.finalize().into_bytes().as_slice(), expected);
    }
}

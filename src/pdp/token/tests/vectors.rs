//! Examples that the standards print, so that key and signature formats are not only right among ourselves.
//!
//! Their payloads are not the claims of our tokens, so none of them is ever accepted as a whole; it is said where each one ends.

use aws_lc_rs::{hmac, signature};

use super::*;

/// RFC 7515 appendices A.1, A.2, A.3 and A.5 have the same payload.
const PAYLOAD: &str = "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";

fn key_set(jwk: &Value, algorithm: Algorithm) -> KeySet {
    KeySet::parse(json!({ "keys": [jwk] }).to_string().as_bytes(), &[algorithm]).unwrap()
}

pub(super) fn verifies(jwk: &Value, algorithm: Algorithm, input: &str, signature: &str) -> bool {
    key_set(jwk, algorithm).keys().next().expect("the key is usable").verifies(input.as_bytes(), signature, algorithm)
}

/// The example verifies, and not with any byte of what is signed or of the signature changed.
pub(super) fn check(jwk: &Value, algorithm: Algorithm, input: &str, signature: &str) {
    let set = key_set(jwk, algorithm);
    let key = set.keys().next().expect("the key is usable");
    assert!(key.verifies(input.as_bytes(), signature, algorithm));
    assert!(!key.verifies(format!("{input}A").as_bytes(), signature, algorithm));
    assert!(!key.verifies(input.as_bytes(), "", algorithm));
    for position in 0..input.len() {
        let mut changed = input.as_bytes().to_vec();
        changed[position] ^= 1;
        assert!(!key.verifies(&changed, signature, algorithm), "byte {position} of what is signed");
    }
    let bytes = URL_SAFE_NO_PAD.decode(signature).unwrap();
    for position in 0..bytes.len() {
        let mut changed = bytes.clone();
        changed[position] ^= 1;
        let changed = URL_SAFE_NO_PAD.encode(changed);
        assert!(!key.verifies(input.as_bytes(), &changed, algorithm), "byte {position} of the signature");
    }
}

/// A policy under which everything of RFC 7515's examples is fine but their lacking an audience.
fn policy_of_joe(algorithm: Algorithm) -> IssuerPolicy {
    IssuerPolicy { issuer: "joe".into(), algorithms: vec![algorithm], key_id: KeyIdPolicy::Optional, ..policy() }
}

/// The token passes the parser, the choice of a key and the signature, and is refused for its claims; with a character changed it
/// is refused earlier.
fn ends_at_its_claims(jwk: &Value, algorithm: Algorithm, input: &str, signature: &str) {
    let (policy, keys) = (policy_of_joe(algorithm), key_set(jwk, algorithm));
    let token = format!("{input}.{signature}");
    assert_eq!(verify::claimed_issuer(&CompactJws::parse(&token).unwrap()), Some("joe"));
    assert_eq!(verify_with(&policy, &keys, &token).map(|_| ()), Err(Reason::AudienceMismatch));
    for position in 0..token.len() {
        let mut changed = token.clone().into_bytes();
        changed[position] = if changed[position] == b'A' { b'B' } else { b'A' };
        let reason = verify_with(&policy, &keys, std::str::from_utf8(&changed).unwrap()).map(|_| ()).unwrap_err();
        let early = [Reason::TokenMalformed, Reason::AlgorithmNotAllowed, Reason::SignatureInvalid];
        assert!(early.contains(&reason), "character {position}: {reason}");
    }
}

/// No configuration can name this algorithm, so a token that names it is refused whatever key there is.
pub(super) fn is_not_supported(algorithm: &str) {
    assert_eq!(Algorithm::parse(algorithm), None);
    let policy = IssuerPolicy { algorithms: Algorithm::ALL.to_vec(), ..policy() };
    let header = json!({ "alg": algorithm, "kid": "k1" }).to_string();
    let token = sign(header.as_bytes(), claims().to_string().as_bytes());
    assert_eq!(verify_with(&policy, &keys(), &token).map(|_| ()), Err(Reason::AlgorithmNotAllowed));
}

/// No algorithm makes a key of this kind usable.
pub(super) fn is_no_key_of_ours(jwk: &Value) {
    let set = KeySet::parse(json!({ "keys": [jwk] }).to_string().as_bytes(), &Algorithm::ALL).unwrap();
    assert_eq!((set.keys().count(), set.skipped().len()), (0, 1));
}

#[test]
fn hs256_of_rfc_7515_appendix_a_1_is_genuine_and_refused() {
    let secret = "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow";
    let input = format!("eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.{PAYLOAD}");
    let mac = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
    let key = hmac::Key::new(hmac::HMAC_SHA256, &URL_SAFE_NO_PAD.decode(secret).unwrap());
    hmac::verify(&key, input.as_bytes(), &URL_SAFE_NO_PAD.decode(mac).unwrap()).unwrap();

    let jwk = json!({ "kty": "oct", "k": secret });
    is_no_key_of_ours(&jwk);
    let keys = key_set(&jwk, Algorithm::Rs256);
    let refused = verify_with(&policy_of_joe(Algorithm::Rs256), &keys, &format!("{input}.{mac}"));
    assert_eq!(refused.map(|_| ()), Err(Reason::AlgorithmNotAllowed));
    is_not_supported("HS256");
}

#[test]
fn rs256_of_rfc_7515_appendix_a_2() {
    let jwk = json!({
        "kty": "RSA",
        "n": "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b\
              32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5\
              IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ",
        "e": "AQAB",
    });
    let signature = "cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4\
                     BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqv\
                     hJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw";
    let input = format!("eyJhbGciOiJSUzI1NiJ9.{PAYLOAD}");
    check(&jwk, Algorithm::Rs256, &input, signature);
    assert!(!verifies(&jwk, Algorithm::Ps256, &input, signature));
    assert!(!verifies(&jwk, Algorithm::Rs512, &input, signature));
    ends_at_its_claims(&jwk, Algorithm::Rs256, &input, signature);
}

#[test]
fn es256_of_rfc_7515_appendix_a_3() {
    let jwk = json!({
        "kty": "EC", "crv": "P-256",
        "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU", "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
    });
    let signature = "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q";
    let input = format!("eyJhbGciOiJFUzI1NiJ9.{PAYLOAD}");
    check(&jwk, Algorithm::Es256, &input, signature);
    ends_at_its_claims(&jwk, Algorithm::Es256, &input, signature);
}

#[test]
fn es512_of_rfc_7515_appendix_a_4_is_genuine_and_refused() {
    let (x, y) = (
        "AekpBQ8ST8a8VcfVOTNl353vSrDCLLJXmPk06wTjxrrjcBpXp5EOnYG_NjFZ6OvLFV1jSfS9tsz4qUxcWceqwQGk",
        "ADSmRA43Z1DSNx_RvcLI87cdL07l6jQyyBXMoxVg_l2Th-x3S1WDhjDly79ajL4Kkd0AZMaZmh9ubmf63e3kyMj2",
    );
    let input = "eyJhbGciOiJFUzUxMiJ9.UGF5bG9hZA";
    let signature = "AdwMgeerwtHoh-l192l60hp9wAHZFVJbLfD_UxMi70cwnZOYaRI1bKPWROc-mZZqwqT2SI-KGDKB34XO0aw_7XdtAG8GaSwFKdCAPZgoXD2YBJZCPEX3xKpRwcdOO8Kp\
                     EHwJjyqOgzDO7iKvU8vcnwNrmxYbSW9ERBXukOXolLzeO_Jn";
    p521_verifies(x, y, input, signature);

    is_no_key_of_ours(&json!({ "kty": "EC", "crv": "P-521", "x": x, "y": y }));
    is_not_supported("ES512");
    assert!(CompactJws::parse(&format!("{input}.{signature}")).is_err(), "its payload is no JSON object");
}

/// What a library says that knows ES512.
pub(super) fn p521_verifies(x: &str, y: &str, input: &str, signature: &str) {
    let decode = |text: &str| URL_SAFE_NO_PAD.decode(text).unwrap();
    let point = [vec![4], decode(x), decode(y)].concat();
    let key = signature::UnparsedPublicKey::new(&signature::ECDSA_P521_SHA512_FIXED, point);
    key.verify(input.as_bytes(), &decode(signature)).unwrap();
}

#[test]
fn an_unsecured_token_of_rfc_7515_appendix_a_5_is_refused() {
    let token = format!("eyJhbGciOiJub25lIn0.{PAYLOAD}.");
    let jws = CompactJws::parse(&token).unwrap();
    assert_eq!((&*jws.header.algorithm, jws.signature), ("none", ""));
    for algorithm in Algorithm::ALL {
        let refused = verify_with(&policy_of_joe(algorithm), &keys(), &token);
        assert_eq!(refused.map(|_| ()), Err(Reason::AlgorithmNotAllowed));
    }
    for none in ["none", "None", "NONE", "nOnE"] {
        is_not_supported(none);
    }
}

#[test]
fn eddsa_of_rfc_8037_appendix_a_4() {
    let jwk = json!({ "kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo" });
    let signature = "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg";
    let input = "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc";
    check(&jwk, Algorithm::EdDsa, input, signature);
    assert!(CompactJws::parse(&format!("{input}.{signature}")).is_err(), "its payload is no JSON object");
}

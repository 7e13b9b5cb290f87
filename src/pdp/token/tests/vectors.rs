//! Examples that the standards print, so that key and signature formats are not only right among ourselves.

use super::*;

/// RFC 7515 appendices A.2 and A.3 sign the same payload.
const PAYLOAD: &str = "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";

fn verifies(jwk: &Value, algorithm: Algorithm, input: &str, signature: &str) -> bool {
    let set = KeySet::parse(json!({ "keys": [jwk] }).to_string().as_bytes(), &[algorithm]).unwrap();
    set.keys().next().expect("the key is usable").verifies(input.as_bytes(), signature, algorithm)
}

/// The example verifies, and neither with another payload nor with another signature.
fn check(jwk: &Value, algorithm: Algorithm, input: &str, signature: &str) {
    assert!(verifies(jwk, algorithm, input, signature));
    assert!(!verifies(jwk, algorithm, &format!("{input}A"), signature));
    let (first, rest) = signature.split_at(1);
    assert!(!verifies(jwk, algorithm, input, &format!("{}{rest}", if first == "A" { "B" } else { "A" })));
    assert!(!verifies(jwk, algorithm, input, ""));
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
    // It is well-formed as well, though no token that anybody would accept: it names no key.
    let token = format!("{input}.{signature}");
    assert_eq!(verify::claimed_issuer(&CompactJws::parse(&token).unwrap()), Some("joe"));
}

#[test]
fn es256_of_rfc_7515_appendix_a_3() {
    let jwk = json!({
        "kty": "EC", "crv": "P-256",
        "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU", "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
    });
    let signature = "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q";
    check(&jwk, Algorithm::Es256, &format!("eyJhbGciOiJFUzI1NiJ9.{PAYLOAD}"), signature);
}

#[test]
fn eddsa_of_rfc_8037_appendix_a_4() {
    let jwk = json!({ "kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo" });
    let signature = "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg";
    check(&jwk, Algorithm::EdDsa, "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc", signature);
}

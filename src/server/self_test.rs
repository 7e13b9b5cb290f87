//! A known token is verified once at start, so that broken cryptography is found before the first request.

use crate::pdp::token::algorithm::Algorithm;
use crate::pdp::token::key::KeySet;

/// The key of RFC 7515 appendix A.2.
const KEY: &str = r#"{"keys":[{"kty":"RSA","kid":"rfc7515-a2","n":"ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ","e":"AQAB"}]}"#;
const SIGNING_INPUT: &str =
    "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";
const SIGNATURE: &str = "cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw";

/// Verifies the known token, and sees that a changed one is refused.
///
/// # Errors
/// When either goes wrong: nothing that this process verified could be believed.
pub(super) fn run() -> Result<(), String> {
    // Fails only if another provider was installed before, and then the test below tells whether it works.
    let _ = jsonwebtoken::crypto::aws_lc::DEFAULT_PROVIDER.install_default();
    let keys = KeySet::parse(KEY.as_bytes(), &[Algorithm::Rs256]).map_err(|error| format!("self-test: {error}"))?;
    let key = keys.select(Some("rfc7515-a2"), Algorithm::Rs256).map_err(|_| "self-test: the known key is not usable")?;
    if !key.verifies(SIGNING_INPUT.as_bytes(), SIGNATURE, Algorithm::Rs256) {
        return Err("self-test: the signature of a known token (RFC 7515 appendix A.2) is not accepted; refusing to run".into());
    }
    let changed = SIGNING_INPUT.replacen("eyJpc3Mi", "eyJpc3Nj", 1);
    if key.verifies(changed.as_bytes(), SIGNATURE, Algorithm::Rs256) {
        return Err("self-test: a changed token is accepted; refusing to run".into());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_known_token_is_verified_and_a_changed_one_is_not() {
        super::run().unwrap();
    }
}

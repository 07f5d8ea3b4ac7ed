//! How customer-managed keys are asked for.

use pinyon_cloud::{AwsEndpoints, Endpoint};

use super::{ConfigError, ServerArgs, settings::Mode};

/// Seconds that an answer is good for.
const CACHE_SECONDS: u32 = 300;
/// The fewest of a server in production: a key is asked for once in that time, and its owner pays for each question.
const CACHE_SECONDS_MIN: u32 = 60;
const CACHE_SECONDS_MAX: u32 = 86_400;
/// Seconds that a key may be out of reach.
const GRACE_SECONDS: u32 = 3_600;
const GRACE_SECONDS_MAX: u32 = 86_400;

/// How long answers are good, and who gives them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CmekSettings {
    pub(crate) cache_seconds: u32,
    pub(crate) grace_seconds: u32,
    pub(crate) endpoints: AwsEndpoints,
}

pub(super) fn cmek(mode: Mode, args: &ServerArgs) -> Result<CmekSettings, ConfigError> {
    let endpoint = |setting: &str, text: &Option<String>| {
        let parsed = text.as_deref().map(Endpoint::parse).transpose();
        parsed.map_err(|e| ConfigError::new(format!("{setting}: {}", e.message)))
    };
    let (cache_seconds, grace_seconds) =
        (args.cmek_cache_seconds.unwrap_or(CACHE_SECONDS), args.cmek_grace_seconds.unwrap_or(GRACE_SECONDS));
    let least = if mode == Mode::Dev { 1 } else { CACHE_SECONDS_MIN };
    if !(least..=CACHE_SECONDS_MAX).contains(&cache_seconds) {
        let told = format!("--cmek-cache-seconds is {cache_seconds}; it must be between {least} and {CACHE_SECONDS_MAX}");
        return Err(ConfigError::new(told));
    }
    if grace_seconds > GRACE_SECONDS_MAX {
        return Err(ConfigError::new(format!("--cmek-grace-seconds is {grace_seconds}; at most {GRACE_SECONDS_MAX} are allowed")));
    }
    let sts = endpoint("--cmek-sts-endpoint", &args.cmek_sts_endpoint)?;
    let kms = endpoint("--cmek-kms-endpoint", &args.cmek_kms_endpoint)?;
    Ok(CmekSettings { cache_seconds, grace_seconds, endpoints: AwsEndpoints { sts, kms, s3: None } })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds() {
        let read = |mode, cache, grace| {
            let args = ServerArgs { cmek_cache_seconds: Some(cache), cmek_grace_seconds: Some(grace), ..ServerArgs::default() };
            cmek(mode, &args)
        };
        let of = |mode, cache, grace| read(mode, cache, grace).is_ok();
        assert!(of(Mode::Serve, 60, 0) && of(Mode::Serve, 86_400, 86_400) && of(Mode::Dev, 1, 0));
        assert!(!of(Mode::Serve, 59, 0) && !of(Mode::Serve, 86_401, 0) && !of(Mode::Serve, 60, 86_401) && !of(Mode::Dev, 0, 0));
        assert!(read(Mode::Serve, 59, 0).unwrap_err().to_string().contains("between 60 and"));
        let usual = cmek(Mode::Serve, &ServerArgs::default()).unwrap();
        assert_eq!((usual.cache_seconds, usual.grace_seconds, usual.endpoints.to_string().as_str()), (300, 3_600, "AWS"));
        let args = ServerArgs { cmek_kms_endpoint: Some("http://127.0.0.1:1".into()), ..ServerArgs::default() };
        assert_eq!(cmek(Mode::Serve, &args).unwrap().endpoints.to_string(), "STS AWS, KMS http://127.0.0.1:1");
        for wrong in ["localhost", "http://a/b"] {
            let args = ServerArgs { cmek_sts_endpoint: Some(wrong.into()), ..ServerArgs::default() };
            assert!(cmek(Mode::Serve, &args).unwrap_err().to_string().contains("--cmek-sts-endpoint"));
        }
    }
}

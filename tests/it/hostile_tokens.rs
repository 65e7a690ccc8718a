//! Tables of hostile viewer tokens, one function a kind of attack: a name, the token, the code that the contract gives.

use crate::support::{Key, Server, now};
use base64::Engine;
use base64::prelude::{BASE64_STANDARD_NO_PAD, BASE64_URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit, Mac};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use sha2::{Sha256, Sha384, Sha512};

pub const INVALID: &str = "playback_token_invalid";
pub const EXPIRED: &str = "playback_token_expired";
pub const REVOKED: &str = "playback_token_revoked";
pub const TOO_LONG: &str = "playback_token_too_long_lived";
pub const WRONG_VIDEO: &str = "playback_token_wrong_video";

/// One token, and what must become of it.
pub struct Hostile {
    pub name: String,
    pub token: String,
    pub code: &'static str,
}

impl Hostile {
    /// The status that goes with the code.
    pub fn status(&self) -> u16 {
        if self.code == WRONG_VIDEO { 403 } else { 401 }
    }
}

/// A row of a table.
pub fn hostile(name: impl Into<String>, token: impl Into<String>, code: &'static str) -> Hostile {
    Hostile { name: name.into(), token: token.into(), code }
}

/// Names every token of a table after the JSON that stands in it.
fn each(what: &str, texts: &[&str], code: &'static str, token: impl Fn(&str) -> String) -> Vec<Hostile> {
    let named =
        |text: &&str| hostile(format!("{what} {}", text.chars().take(60).collect::<String>()), token(text), code);
    texts.iter().map(named).collect()
}

pub fn encode(bytes: impl AsRef<[u8]>) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(bytes)
}

/// HMAC-SHA256.
pub fn mac(key: &[u8], message: &[u8]) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
    mac.update(message);
    mac.finalize().into_bytes().to_vec()
}

/// A token of two parts as they stand, correctly signed.
pub fn sign_parts(header: &str, claims: &str, key: &[u8]) -> String {
    let signed = format!("{header}.{claims}");
    format!("{signed}.{}", encode(mac(key, signed.as_bytes())))
}

/// A token of any bytes, correctly signed.
pub fn sign_bytes(header: &[u8], claims: &[u8], key: &[u8]) -> String {
    sign_parts(&encode(header), &encode(claims), key)
}

/// Everything a forger could know, and the secrets besides: each token is wrong in one way only.
pub struct Forge {
    pub video: String,
    pub embed: String,
    other_video: String,
    other_embed: String,
    foreign_video: String,
    first: Key,
    second: Key,
    revoked: Key,
    foreign: Key,
    publishable_key: String,
    certificate_pem: Vec<u8>,
    certificate_der: Vec<u8>,
    now: i64,
}

impl Forge {
    pub fn new(server: &Server) -> Self {
        let (video, embed) = server.video("private");
        let (other_video, other_embed) = server.video("private");
        let (first, second, revoked) = (server.first_key(), server.signing_key(), server.signing_key());
        server.revoke(&revoked.kid);
        let (other_private_key, _) = server.other_organization();
        let foreign = server.signing_key_of(&other_private_key);
        let made = server
            .admin_as(&other_private_key, reqwest::Method::POST, "/videos", &serde_json::json!({ "title": "Theirs" }))
            .expect(201)
            .json();
        let foreign_video = made["id"].as_str().unwrap().to_owned();
        // The certificate that everybody is shown, with the authority's behind it.
        let certificate = server.state().join("tls/certificate.pem");
        let certificate_der = CertificateDer::from_pem_file(&certificate).unwrap().to_vec();
        Self {
            video,
            embed,
            other_video,
            other_embed,
            foreign_video,
            first,
            second,
            revoked,
            foreign,
            publishable_key: server.publishable_key.clone(),
            certificate_pem: std::fs::read(&certificate).unwrap(),
            certificate_der,
            now: now(),
        }
    }

    /// All tables.
    pub const TABLES: [fn(&Self) -> Vec<Hostile>; 9] = [
        Self::algorithms,
        Self::duplicates,
        Self::kids,
        Self::secrets,
        Self::times_wrong,
        Self::subjects,
        Self::members,
        Self::spellings,
        Self::documents,
    ];

    /// The key of the token that is right.
    pub fn secret(&self) -> &[u8] {
        self.first.secret.as_bytes()
    }

    /// The header of the token that is right.
    pub fn header(&self) -> String {
        format!(r#"{{"alg":"HS256","kid":"{}"}}"#, self.first.kid)
    }

    fn claims_of(&self, sub: &str, iat: &str, exp: &str, more: &str) -> String {
        format!(r#"{{"sub":{sub},"iat":{iat},"exp":{exp}{more}}}"#)
    }

    fn quoted(&self) -> String {
        format!("\"{}\"", self.video)
    }

    /// The claims of the token that is right.
    pub fn claims(&self) -> String {
        self.claims_of(&self.quoted(), &self.now.to_string(), &(self.now + 300).to_string(), "")
    }

    /// The token that is right in every way.
    pub fn valid(&self) -> String {
        self.headed(&self.header())
    }

    /// A token with this header text.
    pub fn headed(&self, header: &str) -> String {
        sign_bytes(header.as_bytes(), self.claims().as_bytes(), self.secret())
    }

    /// A token with these claims.
    pub fn claiming(&self, claims: &str) -> String {
        sign_bytes(self.header().as_bytes(), claims.as_bytes(), self.secret())
    }

    fn alg(&self, alg: &str) -> String {
        self.headed(&format!(r#"{{"alg":{alg},"kid":"{}"}}"#, self.first.kid))
    }

    fn kid(&self, kid: &str) -> String {
        self.headed(&format!(r#"{{"alg":"HS256","kid":{kid}}}"#))
    }

    /// A token whose header has one more member.
    fn member(&self, member: &str) -> String {
        self.headed(&format!(r#"{{"alg":"HS256","kid":"{}",{member}}}"#, self.first.kid))
    }

    pub fn sub(&self, sub: &str) -> String {
        self.claiming(&self.claims_of(sub, &self.now.to_string(), &(self.now + 300).to_string(), ""))
    }

    pub fn iat(&self, iat: &str) -> String {
        self.claiming(&self.claims_of(&self.quoted(), iat, &(self.now + 300).to_string(), ""))
    }

    pub fn exp(&self, exp: &str) -> String {
        self.claiming(&self.claims_of(&self.quoted(), &self.now.to_string(), exp, ""))
    }

    /// A token with one more claim.
    pub fn claim(&self, claim: &str) -> String {
        let (iat, exp) = (self.now.to_string(), (self.now + 300).to_string());
        self.claiming(&self.claims_of(&self.quoted(), &iat, &exp, &format!(",{claim}")))
    }

    fn times(&self, iat: i64, exp: i64) -> String {
        self.claiming(&self.claims_of(&self.quoted(), &(self.now + iat).to_string(), &(self.now + exp).to_string(), ""))
    }

    /// A04–A10: anything but HS256 in `alg`, whatever the MAC.
    pub fn algorithms(&self) -> Vec<Hostile> {
        let nones = [r#""none""#, r#""None""#, r#""NONE""#, r#""nOnE""#, r#""none ""#, r#""\u200bnone""#, r#""""#];
        let others = [
            r#""hs256""#,
            r#""Hs256""#,
            r#""HS256 ""#,
            r#"" HS256""#,
            r#""HS256\u0000""#,
            r#""HS-256""#,
            r#""HMAC""#,
            r#""SHA256""#,
            r#""HS384""#,
            r#""HS512""#,
            r#""RS256""#,
            r#""RS512""#,
            r#""PS256""#,
            r#""ES256""#,
            r#""EdDSA""#,
            r#""ES256K""#,
            r#""dir""#,
            r#""A128KW""#,
            r#""PBES2-HS256+A128KW""#,
            "null",
            r#"["HS256"]"#,
            r#"{"alg":"HS256"}"#,
            "256",
            "true",
        ];
        let mut all = each("alg with our HMAC", &nones, INVALID, |alg| self.alg(alg));
        all.extend(each("alg without a signature", &nones, INVALID, |alg| {
            let token = self.alg(alg);
            token[..=token.rfind('.').unwrap()].to_owned()
        }));
        all.extend(each("alg in two parts", &nones[..2], INVALID, |alg| {
            let token = self.alg(alg);
            token[..token.rfind('.').unwrap()].to_owned()
        }));
        all.extend(each("alg with our HMAC", &others, INVALID, |alg| self.alg(alg)));
        let kid = &self.first.kid;
        all.push(hostile("no alg", self.headed(&format!(r#"{{"kid":"{kid}"}}"#)), INVALID));
        all.push(hostile("ALG", self.headed(&format!(r#"{{"ALG":"HS256","kid":"{kid}"}}"#)), INVALID));
        for (alg, name) in [("HS384", "HS384"), ("HS512", "HS512"), ("HS256", "HS256 over a MAC of SHA-512")] {
            let signed = format!("{}.{}", encode(format!(r#"{{"alg":"{alg}","kid":"{kid}"}}"#)), encode(self.claims()));
            let long: Vec<u8> = if alg == "HS384" {
                let mut mac = Hmac::<Sha384>::new_from_slice(self.secret()).unwrap();
                mac.update(signed.as_bytes());
                mac.finalize().into_bytes().to_vec()
            } else {
                let mut mac = Hmac::<Sha512>::new_from_slice(self.secret()).unwrap();
                mac.update(signed.as_bytes());
                mac.finalize().into_bytes().to_vec()
            };
            all.push(hostile(format!("{name}, whole"), format!("{signed}.{}", encode(&long)), INVALID));
            all.push(hostile(format!("{name}, cut to 32 bytes"), format!("{signed}.{}", encode(&long[..32])), INVALID));
        }
        all
    }

    /// A11, A19, A28, A31, A39: the same name twice, plainly or escaped, whichever value a parser would keep.
    pub fn duplicates(&self) -> Vec<Hostile> {
        let (kid, revoked, now) = (&self.first.kid, &self.revoked.kid, self.now);
        let headers = [
            format!(r#"{{"alg":"HS256","alg":"none","kid":"{kid}"}}"#),
            format!(r#"{{"alg":"none","alg":"HS256","kid":"{kid}"}}"#),
            format!(r#"{{"alg":"HS256","alg":"HS256","kid":"{kid}"}}"#),
            format!(r#"{{"\u0061lg":"none","alg":"HS256","kid":"{kid}"}}"#),
            format!(r#"{{"alg":"HS256","kid":"{kid}","kid":"{revoked}"}}"#),
            format!(r#"{{"alg":"HS256","kid":"{revoked}","kid":"{kid}"}}"#),
            format!(r#"{{"alg":"HS256","kid":"{kid}","kid":"{kid}"}}"#),
            format!(r#"{{"alg":"HS256","kid":"{kid}","typ":"JWT","typ":"JWT"}}"#),
        ];
        let (past, soon, later) = (now - 10, now + 300, now + 400);
        let (ours, theirs) = (&self.video, &self.other_video);
        let claims = [
            format!(r#"{{"sub":"{ours}","iat":{now},"exp":{past},"exp":{soon}}}"#),
            format!(r#"{{"sub":"{ours}","iat":{now},"exp":{soon},"exp":{past}}}"#),
            format!(r#"{{"sub":"{ours}","iat":{now},"exp":{soon},"exp":{soon}}}"#),
            format!(r#"{{"sub":"{ours}","iat":{now},"exp":{past},"\u0065xp":{soon}}}"#),
            format!(r#"{{"sub":"{ours}","iat":{now},"iat":{now},"exp":{soon}}}"#),
            format!(r#"{{"sub":"{ours}","iat":0,"iat":{now},"exp":{later}}}"#),
            format!(r#"{{"sub":"{theirs}","sub":"{ours}","iat":{now},"exp":{soon}}}"#),
            format!(r#"{{"sub":"{ours}","sub":"{theirs}","iat":{now},"exp":{soon}}}"#),
            format!(r#"{{"sub":"{ours}","iat":{now},"exp":{soon},"nbf":0,"nbf":{later}}}"#),
            format!(r#"{{"sub":"{ours}","iat":{now},"exp":{soon},"x":1,"x":2}}"#),
            format!(r#"{{"sub":"{ours}","iat":{now},"exp":{soon},"x":[{{"y":1,"\u0079":1}}]}}"#),
        ];
        let headed = headers.iter().map(|text| hostile(format!("header {text}"), self.headed(text), INVALID));
        let claiming = claims.iter().map(|text| hostile(format!("claims {text}"), self.claiming(text), INVALID));
        headed.chain(claiming).collect()
    }

    /// A12–A18: a `kid` that is none, is somebody else's, or is an attack on whatever looks it up.
    pub fn kids(&self) -> Vec<Hostile> {
        let kid = &self.first.kid;
        let mut all = each(
            "kid",
            &[
                "null",
                r#""""#,
                "7",
                "true",
                r#"{"$ne":null}"#,
                r#""00000000-0000-4000-8000-000000000000""#,
                r#""../../../../etc/passwd""#,
                r#""/etc/passwd""#,
                r#""file:///etc/passwd""#,
                r#""' OR '1'='1""#,
                r#""x' UNION SELECT 'secret' --""#,
                r#""$(id)""#,
                r#""`id`""#,
                r#""${jndi:ldap://127.0.0.1/x}""#,
                r#""\u0000""#,
                r#""\ud800""#,
                r#""*""#,
                r#""%""#,
                r#""https://127.0.0.1/key""#,
            ],
            INVALID,
            |text| self.kid(text),
        );
        let spelt = [
            format!(r#"["{kid}"]"#),
            format!(r#""{}""#, kid.to_uppercase()),
            format!(r#""{}""#, kid.replace('-', "")),
            format!(r#""{{{kid}}}""#),
            format!(r#""urn:uuid:{kid}""#),
            format!(r#""{}""#, &kid[..35]),
            format!(r#""{kid}0""#),
            format!(r#"" {kid}""#),
            format!(r#""{kid} ""#),
            format!(r#""{kid}\n""#),
            format!(r#""{kid}\u0000""#),
            format!(r#""{}""#, "k".repeat(5_000)),
            format!(r#""{}""#, "k".repeat(64 << 10)),
        ];
        for text in &spelt {
            all.push(hostile(format!("kid {}", &text[..text.len().min(60)]), self.kid(text), INVALID));
        }
        let named = |kid: &str, secret: &[u8]| {
            sign_bytes(format!(r#"{{"alg":"HS256","kid":"{kid}"}}"#).as_bytes(), self.claims().as_bytes(), secret)
        };
        all.extend([
            hostile("no kid", self.headed(r#"{"alg":"HS256"}"#), INVALID),
            hostile("KID", self.headed(&format!(r#"{{"alg":"HS256","KID":"{kid}"}}"#)), INVALID),
            hostile(
                "kid among the claims",
                {
                    let claims = self.claims().replace("{", &format!(r#"{{"kid":"{kid}","#));
                    sign_bytes(br#"{"alg":"HS256"}"#, claims.as_bytes(), self.secret())
                },
                INVALID,
            ),
            hostile(
                "another organization's kid and secret",
                named(&self.foreign.kid, self.foreign.secret.as_bytes()),
                INVALID,
            ),
            hostile("another organization's kid, our secret", named(&self.foreign.kid, self.secret()), INVALID),
            hostile("our kid, another organization's secret", named(kid, self.foreign.secret.as_bytes()), INVALID),
            hostile("our kid, our second secret", named(kid, self.second.secret.as_bytes()), INVALID),
            hostile("our second kid, our first secret", named(&self.second.kid, self.secret()), INVALID),
            hostile("a revoked kid, a live secret", named(&self.revoked.kid, self.secret()), INVALID),
            hostile("a revoked kid and its secret", named(&self.revoked.kid, self.revoked.secret.as_bytes()), REVOKED),
            hostile("/dev/null and the empty secret", named("/dev/null", b""), INVALID),
            hostile("the video's id as kid", named(&self.video, self.secret()), INVALID),
        ]);
        all
    }

    /// A09, A20: keys that a forger could have.
    pub fn secrets(&self) -> Vec<Hostile> {
        let (kid, secret) = (&self.first.kid, &self.first.secret);
        let random = secret.strip_prefix("mvi_sign_").unwrap();
        // SubjectPublicKeyInfo of a P-256 key (RFC 5480): its 26-byte head, then the point of 65 bytes.
        let head = [0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01];
        let at = self.certificate_der.windows(head.len()).position(|window| window == head).unwrap();
        let keys: Vec<(&str, Vec<u8>)> = vec![
            ("empty", vec![]),
            ("the kid", kid.as_bytes().to_vec()),
            ("without its prefix", random.as_bytes().to_vec()),
            ("decoded", BASE64_URL_SAFE_NO_PAD.decode(random).unwrap()),
            ("with a newline", format!("{secret}\n").into_bytes()),
            ("with a space before", format!(" {secret}").into_bytes()),
            ("in upper case", secret.to_uppercase().into_bytes()),
            ("less its last character", secret.as_bytes()[..secret.len() - 1].to_vec()),
            ("base64 of it", BASE64_STANDARD_NO_PAD.encode(secret).into_bytes()),
            ("the publishable key", self.publishable_key.clone().into_bytes()),
            ("the video's id", self.video.clone().into_bytes()),
            ("secret", b"secret".to_vec()),
            ("your-256-bit-secret", b"your-256-bit-secret".to_vec()),
            ("null", b"null".to_vec()),
            ("52 zero bytes", vec![0; 52]),
            ("the prefix", b"mvi_sign_".to_vec()),
            ("the certificate in PEM", self.certificate_pem.clone()),
            ("the certificate in DER", self.certificate_der.clone()),
            ("the certificate's key", self.certificate_der[at..at + 91].to_vec()),
        ];
        let sign = |key: &[u8]| sign_bytes(self.header().as_bytes(), self.claims().as_bytes(), key);
        keys.iter().map(|(name, key)| hostile(format!("key: {name}"), sign(key), INVALID)).collect()
    }

    /// A21–A33: `exp`, `iat`, `nbf` that are no times, or the wrong ones.
    pub fn times_wrong(&self) -> Vec<Hostile> {
        let now = self.now;
        let soon = now + 300;
        let text = soon.to_string();
        let no_number = [
            "null",
            r#""""#,
            r#""soon""#,
            "true",
            "[]",
            "{}",
            "NaN",
            "Infinity",
            "-Infinity",
            "1e400",
            "-1e400",
            "1e",
            ".5",
            "1.",
            "0x7fffffff",
        ];
        let mut all = each("exp", &no_number, INVALID, |text| self.exp(text));
        all.extend(each("iat", &no_number, INVALID, |text| self.iat(text)));
        all.extend(each("nbf", &no_number, INVALID, |text| self.claim(&format!(r#""nbf":{text}"#))));
        let spelt = [
            format!("\"{text}\""),
            format!("[{text}]"),
            format!("+{text}"),
            format!("0{text}"),
            format!("{}_{}", &text[..4], &text[4..]),
            "9".repeat(5_001),
        ];
        for text in &spelt {
            let name = &text[..text.len().min(40)];
            all.push(hostile(format!("exp {name}"), self.exp(text), INVALID));
            all.push(hostile(format!("iat {name}"), self.iat(text), INVALID));
            all.push(hostile(format!("nbf {name}"), self.claim(&format!(r#""nbf":{text}"#)), INVALID));
        }
        all.extend(each("exp", &["-1", "-9223372036854775808", "0", "-0", "-1.5", "-1e308", "0.9"], EXPIRED, |text| {
            self.exp(text)
        }));
        all.extend(each(
            "exp",
            &[
                "253402300800",
                "9223372036854775807",
                "9223372036854775808",
                "18446744073709551615",
                "18446744073709551616",
                "1e308",
            ],
            TOO_LONG,
            |text| self.exp(text),
        ));
        all.push(hostile("exp in milliseconds", self.exp(&(soon * 1000).to_string()), TOO_LONG));
        for (name, exp) in [("now", 0), ("1 s ago", -1), ("30 s ago", -30), ("60 s ago", -60), ("an hour ago", -3600)] {
            all.push(hostile(format!("exp {name}"), self.times(-4000, exp), EXPIRED));
        }
        all.push(hostile("exp 0.999 s into the last second", self.exp(&format!("{}.999", now - 1)), EXPIRED));
        all.extend(each("iat", &["-1", "0", "-9223372036854775808", "-1e308", "-0.5"], TOO_LONG, |text| {
            self.iat(text)
        }));
        all.extend(each("iat", &["253402300800", "18446744073709551616", "1e308"], INVALID, |text| self.iat(text)));
        all.push(hostile("iat 2 min ahead", self.times(120, 300), INVALID));
        all.push(hostile("iat an hour ahead", self.times(3600, 3900), INVALID));
        all.push(hostile("iat a year ahead", self.times(31_536_000, 31_536_300), INVALID));
        all.push(hostile("iat after exp", self.times(50, 40), INVALID));
        all.push(hostile("iat at exp", self.times(40, 40), INVALID));
        all.push(hostile("a day and a second", self.times(-100, 86_301), TOO_LONG));
        let nbfs = ["-1", "-9223372036854775808", "-0.5", "253402300800", "1e308", "999999999999999999999999999999"];
        all.extend(each("nbf", &nbfs, INVALID, |text| self.claim(&format!(r#""nbf":{text}"#))));
        all.push(hostile("nbf 2 min ahead", self.claim(&format!(r#""nbf":{}"#, now + 120)), INVALID));
        let video = &self.video;
        let claims = [
            format!(r#"{{"sub":"{video}","iat":{now}}}"#),
            format!(r#"{{"sub":"{video}","exp":{soon}}}"#),
            format!(r#"{{"sub":"{video}"}}"#),
            format!(r#"{{"sub":"{video}","iat":{now},"EXP":{soon}}}"#),
            format!(r#"{{"sub":"{video}","IAT":{now},"exp":{soon}}}"#),
            format!(r#"{{"sub":"{video}","iat":{now},"exp ":{soon}}}"#),
        ];
        all.extend(claims.iter().map(|claims| hostile(format!("claims {claims}"), self.claiming(claims), INVALID)));
        all.push(hostile(
            "exp in the header alone",
            sign_bytes(
                format!(r#"{{"alg":"HS256","kid":"{}","exp":{soon}}}"#, self.first.kid).as_bytes(),
                format!(r#"{{"sub":"{video}","iat":{now}}}"#).as_bytes(),
                self.secret(),
            ),
            INVALID,
        ));
        all
    }

    /// A34–A38: a `sub` that is none, or another video; 403 is said only of tokens that are valid otherwise.
    pub fn subjects(&self) -> Vec<Hostile> {
        let (ours, theirs, now) = (&self.video, &self.other_video, self.now);
        let ill_typed = [
            "null".to_owned(),
            "7".into(),
            "true".into(),
            "{}".into(),
            "[]".into(),
            "\"\"".into(),
            format!(r#"["{ours}"]"#),
            format!(r#"["{ours}","{theirs}"]"#),
            format!(r#"{{"id":"{ours}"}}"#),
            r#""\ud800""#.into(),
        ];
        let mut all: Vec<Hostile> =
            ill_typed.iter().map(|text| hostile(format!("sub {text}"), self.sub(text), INVALID)).collect();
        let none = format!(r#"{{"iat":{now},"exp":{}}}"#, now + 300);
        all.push(hostile("no sub", self.claiming(&none), INVALID));
        let others = [
            theirs.clone(),
            ours.to_uppercase(),
            format!(" {ours}"),
            format!("{ours} "),
            format!(r"{ours}\u0000"),
            format!(r"{ours}\n"),
            ours[..35].to_owned(),
            format!("{ours}0"),
            format!("{ours}\u{430}"),
            format!("\u{ff10}{}", &ours[1..]),
            "*".into(),
            "%".into(),
            ".*".into(),
            format!("../{ours}"),
            format!("{theirs}/../{ours}"),
            format!("{ours},{theirs}"),
            format!("{{{ours}}}"),
            format!("urn:uuid:{ours}"),
            ours.replace('-', ""),
            self.embed.clone(),
            self.other_embed.clone(),
            self.foreign_video.clone(),
            "null".into(),
            "0".into(),
        ];
        all.extend(
            others.iter().map(|text| hostile(format!("sub \"{text}\""), self.sub(&format!("\"{text}\"")), WRONG_VIDEO)),
        );
        let other = |iat: i64, exp: i64, kid: &str, secret: &str| {
            let claims = format!(r#"{{"sub":"{theirs}","iat":{},"exp":{}}}"#, now + iat, now + exp);
            sign_bytes(format!(r#"{{"alg":"HS256","kid":"{kid}"}}"#).as_bytes(), claims.as_bytes(), secret.as_bytes())
        };
        let (first, second, revoked) = (&self.first, &self.second, &self.revoked);
        all.extend([
            hostile("another video, expired", other(-100, -1, &first.kid, &first.secret), EXPIRED),
            hostile("another video, bad MAC", other(0, 300, &first.kid, &second.secret), INVALID),
            hostile("another video, revoked key", other(0, 300, &revoked.kid, &revoked.secret), REVOKED),
            hostile("another video, too long lived", other(0, 90_000, &first.kid, &first.secret), TOO_LONG),
        ]);
        all
    }

    /// A40–A42: header members that change what a JWS means, or bring a key along.
    pub fn members(&self) -> Vec<Hostile> {
        let key = encode(b"a key of the attacker's, 32 byte");
        let jwk = format!(r#""jwk":{{"kty":"oct","alg":"HS256","k":"{key}"}}"#);
        let mut all = each(
            "header member",
            &[
                r#""crit":["exp"]"#,
                r#""crit":["x"]"#,
                r#""crit":[]"#,
                r#""crit":"exp""#,
                r#""crit":null"#,
                r#""b64":false"#,
                r#""b64":true"#,
                r#""b64":false,"crit":["b64"]"#,
                r#""zip":"DEF""#,
                r#""zip":"GZIP""#,
                r#""zip":null"#,
                r#""enc":"A128GCM""#,
                r#""cty":"JWT""#,
                r#""cty":"jwt""#,
                r#""typ":"JWE""#,
                r#""typ":"at+jwt""#,
                r#""typ":["JWT"]"#,
                r#""typ":null"#,
                r#""typ":"""#,
                r#""typ":"JWT ""#,
                &jwk,
                r#""jwk":null"#,
                r#""jku":"https://127.0.0.1:1/keys""#,
                r#""x5u":"https://127.0.0.1:1/chain""#,
                r#""x5c":["MIIB"]"#,
                r#""x5t":"AAAA""#,
                r#""x5t#S256":"AAAA""#,
                r#""\u0063rit":["exp"]"#,
            ],
            INVALID,
            |member| self.member(member),
        );
        let header = format!(r#"{{"alg":"HS256","kid":"{}",{jwk}}}"#, self.first.kid);
        let by_attacker = sign_bytes(header.as_bytes(), self.claims().as_bytes(), b"a key of the attacker's, 32 byte");
        all.push(hostile("an embedded key and its signature", by_attacker, INVALID));
        all
    }

    /// A43–A47: signatures cut, stretched or blank; spellings that decode to the right bytes; other serializations.
    pub fn spellings(&self) -> Vec<Hostile> {
        let token = self.valid();
        let (signed, signature) = token.rsplit_once('.').unwrap();
        let (header, claims) = signed.split_once('.').unwrap();
        let bytes = BASE64_URL_SAFE_NO_PAD.decode(signature).unwrap();
        let resigned = |bytes: &[u8]| format!("{signed}.{}", encode(bytes));
        let flipped = |at: usize| {
            let mut bytes = bytes.clone();
            bytes[at] ^= 1;
            resigned(&bytes)
        };
        let mut all = vec![
            hostile("no signature", format!("{signed}."), INVALID),
            hostile("no third part", signed, INVALID),
            hostile("1 byte of signature", resigned(&bytes[..1]), INVALID),
            hostile("16 bytes of signature", resigned(&bytes[..16]), INVALID),
            hostile("31 bytes of signature", resigned(&bytes[..31]), INVALID),
            hostile("33 bytes of signature", resigned(&[bytes.as_slice(), &[0]].concat()), INVALID),
            hostile("64 bytes of signature", resigned(&[bytes.as_slice(), &bytes].concat()), INVALID),
            hostile("32 zero bytes", resigned(&[0; 32]), INVALID),
            hostile("32 bytes of ff", resigned(&[255; 32]), INVALID),
            hostile("first byte flipped", flipped(0), INVALID),
            hostile("last byte flipped", flipped(31), INVALID),
            hostile(
                "MAC over the claims alone",
                format!("{signed}.{}", encode(mac(self.secret(), claims.as_bytes()))),
                INVALID,
            ),
            hostile(
                "MAC in hexadecimal",
                {
                    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
                    format!("{signed}.{hex}")
                },
                INVALID,
            ),
            hostile("padded signature", format!("{token}="), INVALID),
            hostile("padded twice", format!("{token}=="), INVALID),
            hostile("padded header", format!("{header}=.{claims}.{signature}"), INVALID),
            hostile("padded claims", format!("{header}.{claims}=.{signature}"), INVALID),
            hostile("stray bits in the signature", format!("{signed}.{}", with_stray_bits(signature)), INVALID),
        ];
        // A signature with `-` or `_` in it, written in the other alphabet.
        let standard = (0..64).map(|n| self.claim(&format!(r#""n":{n}"#))).find_map(|token| {
            let (signed, signature) = token.rsplit_once('.').unwrap();
            signature
                .contains(['-', '_'])
                .then(|| format!("{signed}.{}", signature.replace('-', "+").replace('_', "/")))
        });
        all.push(hostile("the standard alphabet", standard.unwrap(), INVALID));
        for (name, text) in [
            ("a dot behind", format!("{token}.")),
            ("a fourth part", format!("{token}.x")),
            ("a fifth part", format!("{token}.x.y")),
            ("a dot in front", format!(".{token}")),
            ("%00 behind", format!("{token}%00")),
            ("%0A behind", format!("{token}%0A")),
            ("a space inside", format!("{header}. {claims}.{signature}")),
            ("a tab inside", format!("{header}.\t{claims}.{signature}")),
            ("parts swapped", format!("{claims}.{header}.{signature}")),
            ("an empty header", format!(".{claims}.{signature}")),
            ("empty claims", format!("{header}..{signature}")),
            ("upper case", token.to_uppercase()),
            ("lower case", token.to_lowercase()),
            ("reversed", token.chars().rev().collect()),
            ("twice with a comma", format!("{token},{token}")),
            ("twice with a comma and a space", format!("{token}, {token}")),
            ("twice", format!("{token}{token}")),
            ("a parameter", format!("{token};x=1")),
            ("Bearer", format!("Bearer {token}")),
            ("quoted", format!("\"{token}\"")),
            ("hexadecimal", token.bytes().map(|byte| format!("{byte:02x}")).collect()),
            ("encoded dots", token.replace('.', "%2E")),
            ("two dots", token.replacen('.', "..", 1)),
            ("a dot that is none", token.replace('.', "\u{ff0e}")),
            ("flattened JSON", format!(r#"{{"protected":"{header}","payload":"{claims}","signature":"{signature}"}}"#)),
            (
                "general JSON",
                format!(
                    r#"{{"payload":"{claims}","signatures":[{{"protected":"{header}","signature":"{signature}"}}]}}"#
                ),
            ),
            ("base64 of the token", encode(&token)),
            ("a JWE's five parts", format!("{header}.{claims}.{signature}.{claims}.{signature}")),
            ("null", "null".into()),
            ("undefined", "undefined".into()),
            ("true", "true".into()),
            ("[object Object]", "[object Object]".into()),
            (".", ".".into()),
            ("..", "..".into()),
            ("...", "...".into()),
            ("e30.e30.", "e30.e30.".into()),
            ("e30.e30.e30", "e30.e30.e30".into()),
            ("the secret itself", self.first.secret.clone()),
            ("8,193 characters", format!("{token}{}", "A".repeat(8_193 - token.len()))),
            ("20,000 characters", "A".repeat(20_000)),
        ] {
            all.push(hostile(name, text, INVALID));
        }
        // A spelling that decodes to the right JSON, and is signed as it stands.
        let roomy = encode(format!("{} ", self.header()));
        let spare = if roomy.len() % 4 == 0 { encode(format!("{}  ", self.header())) } else { roomy };
        let crowded =
            (0..3).map(|n| encode(format!("{}{}", self.claims(), " ".repeat(n)))).find(|part| part.len() % 4 != 0);
        let crowded = crowded.unwrap();
        let key = self.secret();
        all.extend([
            hostile("padded header, signed so", sign_parts(&format!("{header}="), claims, key), INVALID),
            hostile("padded claims, signed so", sign_parts(header, &format!("{claims}="), key), INVALID),
            hostile("stray bits in the header, signed so", sign_parts(&with_stray_bits(&spare), claims, key), INVALID),
            hostile(
                "stray bits in the claims, signed so",
                sign_parts(header, &with_stray_bits(&crowded), key),
                INVALID,
            ),
            hostile("a newline in the claims, signed so", sign_parts(header, &format!("{claims}%0A"), key), INVALID),
            hostile("a part too many, signed so", sign_parts(header, &format!("{claims}.{claims}"), key), INVALID),
            hostile("an empty header, signed so", sign_parts("", claims, key), INVALID),
            hostile("empty claims, signed so", sign_parts(header, "", key), INVALID),
        ]);
        all
    }

    /// A48–A51: header or claims that are no JSON object of ours.
    pub fn documents(&self) -> Vec<Hostile> {
        let (header, claims, key) = (self.header(), self.claims(), self.secret());
        let utf16 = |text: &str| text.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<u8>>();
        let deep = |text: &str, depth: usize| {
            let (open, close) = ("[".repeat(depth), "]".repeat(depth));
            text.replacen('}', &format!(r#","x":{open}{close}}}"#), 1)
        };
        let broken = |text: &str| -> Vec<(&'static str, Vec<u8>)> {
            let bytes = text.as_bytes();
            vec![
                ("not JSON", b"hello".to_vec()),
                ("in an array", format!("[{text}]").into_bytes()),
                ("in a string", serde_json::to_vec(text).unwrap()),
                ("null", b"null".to_vec()),
                ("a number", b"7".to_vec()),
                ("empty object", b"{}".to_vec()),
                ("with a byte order mark", format!("\u{feff}{text}").into_bytes()),
                ("with a brace behind", format!("{text}}}").into_bytes()),
                ("with a NUL behind", format!("{text}\0").into_bytes()),
                ("twice", format!("{text}{text}").into_bytes()),
                ("with a comment", format!("/**/{text}").into_bytes()),
                ("with a comma too many", text.replace('}', ",}").into_bytes()),
                ("in single quotes", text.replace('"', "'").into_bytes()),
                ("with unquoted names", text.replace("\"alg\"", "alg").replace("\"sub\"", "sub").into_bytes()),
                ("invalid UTF-8", [&bytes[..bytes.len() - 1], b",\"x\":\"\xff\"}"].concat()),
                ("UTF-16", utf16(text)),
                ("cut short", bytes[..bytes.len() - 1].to_vec()),
                ("one level down", format!(r#"{{"claims":{text}}}"#).into_bytes()),
                ("under __proto__", format!(r#"{{"__proto__":{text}}}"#).into_bytes()),
                ("200 levels deep", deep(text, 200).into_bytes()),
                ("2,000 levels deep", deep(text, 2_000).into_bytes()),
                ("a raw newline in a string", text.replacen("\":\"", "\":\"\n", 1).into_bytes()),
            ]
        };
        let mut all = Vec::new();
        for (name, bytes) in broken(&header) {
            all.push(hostile(format!("header {name}"), sign_bytes(&bytes, claims.as_bytes(), key), INVALID));
        }
        for (name, bytes) in broken(&claims) {
            all.push(hostile(format!("claims {name}"), sign_bytes(header.as_bytes(), &bytes, key), INVALID));
        }
        let nested = self.valid();
        all.push(hostile("a token as claims", sign_bytes(header.as_bytes(), nested.as_bytes(), key), INVALID));
        all.push(hostile("claims 10,000 levels deep", self.claiming(&deep(&claims, 10_000)), INVALID));
        all.push(hostile("8,193 characters, signed", self.of_length(8_193), INVALID));
        all
    }

    /// A token that is right and exactly this long.
    pub fn of_length(&self, length: usize) -> String {
        let fits = |spaces: &usize| self.claim(&format!(r#""x":"{}""#, "y".repeat(*spaces))).len() >= length;
        let enough = (0..length).find(fits).unwrap();
        // Three bytes are four characters: one length in four cannot be made by the claims alone.
        (0..4)
            .flat_map(|pad| (enough.saturating_sub(6)..=enough).map(move |spaces| (pad, spaces)))
            .map(|(pad, spaces)| {
                let header = format!("{}{}", self.header(), " ".repeat(pad));
                let claims = self.claims().replacen('}', &format!(r#","x":"{}"}}"#, "y".repeat(spaces)), 1);
                sign_bytes(header.as_bytes(), claims.as_bytes(), self.secret())
            })
            .find(|token| token.len() == length)
            .unwrap()
    }
}

/// Sets an unused bit in the last character of a base64url text whose length leaves some.
fn with_stray_bits(text: &str) -> String {
    const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    assert_ne!(text.len() % 4, 0, "there are no spare bits");
    let last = *text.as_bytes().last().unwrap();
    let at = ALPHABET.iter().position(|byte| *byte == last).unwrap();
    format!("{}{}", &text[..text.len() - 1], char::from(ALPHABET[at ^ 1]))
}

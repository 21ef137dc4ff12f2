package httpapi

import (
	"cmp"
	"encoding/hex"
	"maps"
	"regexp"
	"slices"
	"strings"
)

func (c *compiler) tls() {
	s := c.plan.settings.TLS
	if s.Pin != "" {
		pin, err := hex.DecodeString(strings.ReplaceAll(strings.TrimPrefix(strings.ToLower(s.Pin), "sha256:"), ":", ""))
		if err != nil || len(pin) != 32 {
			c.Fail("tls.pin", "must be a SHA-256 in hex: 64 digits, colons allowed")
		}
		c.plan.pin = pin
	}
	if s.Insecure && (s.Pin != "" || s.CAFile != "") {
		c.Fail("tls.insecure", "cannot be set together with pin or ca_file")
	}
}

func (c *compiler) auth() {
	s := &c.plan.settings
	auth := s.Auth
	if auth == "auto" || auth == "" {
		auth = "none"
		if s.Username != "" || s.Password.Set() {
			auth = "basic"
		}
	}
	c.plan.auth = auth
	switch auth {
	case "none", "basic", "digest":
	case "bearer", "header", "query":
		value := s.AuthValue.Reveal()
		if value == "" {
			value = "{password}"
		}
		if auth != "bearer" && s.AuthName == "" {
			c.Fail("auth_name", "must name the %s for auth: %s",
				map[string]string{"header": "header", "query": "query parameter"}[auth], auth)
		}
		if value == "{password}" && !s.Password.Set() {
			c.Fail("password", "must be set for auth: %s", auth)
		}
		c.plan.authText = c.Template("auth_value", value)
	case "login":
		c.login()
	case "aws-sigv4":
		for key, set := range map[string]bool{
			"username": s.Username != "", "password": s.Password.Set(),
			"aws.region": s.AWS.Region != "", "aws.service": s.AWS.Service != "",
		} {
			if !set {
				c.Fail(key, "must be set for auth: aws-sigv4")
			}
		}
		c.plan.region = c.Template("aws.region", s.AWS.Region)
		c.plan.service = c.Template("aws.service", s.AWS.Service)
	default:
		const known = "auto, none, basic, digest, bearer, header, query, login, aws-sigv4"
		c.Fail("auth", "is %q; allowed: %s", s.Auth, known)
	}
}

func (c *compiler) login() {
	s := c.plan.settings.Login
	if s.Path == "" {
		c.Fail("login.path", "must be set for auth: login")
	}
	l := &login{request: c.request("login", s.Request), capture: map[string]capture{}}
	for _, name := range slices.Sorted(maps.Keys(s.Capture)) {
		c.VarName("login.capture."+name, name)
		l.capture[name] = c.capture("login.capture."+name, s.Capture[name])
	}
	c.Allow(slices.Sorted(maps.Keys(s.Capture))...)
	l.headers = c.params("login.apply.headers", anyValues(s.Apply.Headers))
	l.query = c.params("login.apply.query", s.Apply.Query)
	l.expired = c.rule("login.expired_when", cmp.Or(s.ExpiredWhen, "status in [401, 403]"))
	c.plan.login = l
}

func (c *compiler) capture(key string, s Capture) capture {
	out := capture{value: c.Expression(language, key+".value", s.Value), cookie: s.Cookie, header: s.Header}
	set := 0
	for _, text := range []string{s.Value, s.Cookie, s.Header, s.Regex} {
		if text != "" {
			set++
		}
	}
	if set != 1 {
		c.Fail(key, "must say exactly one of value, cookie, header and regex")
	}
	if s.Regex != "" {
		re, err := regexp.Compile(s.Regex)
		if err != nil {
			c.Fail(key+".regex", "%s", err)
		}
		out.regex = re
	}
	return out
}

package simulator

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// maxRequest is how large a request's body may be, bytes.
const maxRequest = 64 << 10

// Handler is the REST API. Its answers have the platform's three envelopes: success, fail (400,
// which also means "not found") and error.
func (s *Simulator) Handler() http.Handler {
	mux := http.NewServeMux()
	for pattern, serve := range map[string]func(*http.Request) (any, error){
		"GET /api/v3/account/info":             s.accountInfo,
		"POST /api/webhooks":                   s.createWebhook,
		"GET /api/webhooks/list":               s.listWebhooks,
		"GET /api/webhooks/{id}":               s.getWebhook,
		"PUT /api/webhooks/{id}":               s.updateWebhook,
		"DELETE /api/webhooks/{id}":            s.deleteWebhook,
		"POST /api/webhooks/test/{kind}":       s.testWebhooks,
		"GET /api/monitoring/summary":          s.listSummary,
		"GET /api/monitoring/summary/{stream}": s.getSummary,
		"POST /api/stream/stop":                s.stopStream,
		"POST /api/thumbnails":                 s.demandThumbnail,
		"POST /api/stream/reprioritize":        s.reprioritize,
		"GET /api/cluster":                     s.listRegions,
		"POST /api/publish_token":              s.createToken,
		"GET /api/publish_token/list":          s.listTokens,
		"GET /api/publish_token/list_by_name":  s.listTokensByName,
		"GET /api/publish_token/active":        s.activeTokens,
		"GET /api/publish_token/active/all":    s.allActiveTokens,
		"PATCH /api/publish_token/disable":     s.disableTokens,
		"GET /api/publish_token/{id}":          s.getToken,
		"PUT /api/publish_token/{id}":          s.updateToken, // version 1, deprecated
		"PUT /api/v2/publish_token/{id}":       s.updateToken,
		"DELETE /api/publish_token/{id}":       s.deleteToken,
	} {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			r.Body = http.MaxBytesReader(w, r.Body, maxRequest)
			data, err := serve(r)
			if no, ok := errors.AsType[refusal](err); ok {
				respond(w, http.StatusBadRequest, failure{"fail", no.data})
				return
			}
			if err != nil {
				respond(w, http.StatusBadRequest, failure{"fail", err.Error()})
				return
			}
			respond(w, http.StatusOK, success{"success", data})
		})
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		words := "no such call: " + r.Method + " " + r.URL.Path
		respond(w, http.StatusNotFound, failed{"error", words, http.StatusNotFound})
	})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !s.enterAPI() {
			panic(http.ErrAbortHandler) // closing: the connection breaks
		}
		defer s.work.Done()
		w.Header().Set("Date", s.date())
		if s.apiFaults.disturb(s, w, r) {
			return
		}
		token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		if !ok || !s.set.APISecret.Equal(token) {
			respond(w, http.StatusUnauthorized, failed{"error", "unauthorized", http.StatusUnauthorized})
			return
		}
		mux.ServeHTTP(w, r)
	})
}

// enterAPI counts a request, so that Close can wait for it. It reports false when the simulator is
// closed.
func (s *Simulator) enterAPI() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false
	}
	s.work.Add(1)
	return true
}

// date is the platform's clock as a header.
func (s *Simulator) date() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.now().UTC().Format(http.TimeFormat)
}

// The envelopes.
type (
	success struct {
		Status string `json:"status"`
		Data   any    `json:"data"`
	}
	failure struct {
		Status string `json:"status"`
		Data   any    `json:"data"`
	}
	failed struct {
		Status  string `json:"status"`
		Message string `json:"message"`
		Code    int    `json:"code"`
	}
)

func respond(w http.ResponseWriter, status int, envelope any) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(envelope) // nobody needs to know that a client has gone
}

// readJSON decodes a request's body and ignores unknown keys.
func readJSON(r *http.Request, into any) error {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return fmt.Errorf("the request's body: %w", err)
	}
	if err := json.Unmarshal(body, into); err != nil {
		return errors.New("the request's body is not the JSON that is expected here")
	}
	return nil
}

// intParam reads a whole number from the query, def when it is absent.
func intParam(r *http.Request, name string, def, low, high int) (int, error) {
	text := r.URL.Query().Get(name)
	if text == "" {
		return def, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < low || n > high {
		return 0, fmt.Errorf("%s must be a whole number from %d to %d", name, low, high)
	}
	return n, nil
}

func boolParam(r *http.Request, name string) (value, given bool, err error) {
	text := r.URL.Query().Get(name)
	if text == "" {
		return false, false, nil
	}
	value, err = strconv.ParseBool(text)
	if err != nil {
		return false, true, fmt.Errorf("%s must be true or false", name)
	}
	return value, true, nil
}

func (s *Simulator) accountInfo(*http.Request) (any, error) {
	return map[string]string{"accountId": s.set.Account}, nil
}

// jsonTime writes a time as the API does, null when it is zero.
func jsonTime(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return t.UTC().Format("2006-01-02T15:04:05.000Z")
}

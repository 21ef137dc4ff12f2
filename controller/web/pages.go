package web

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"html/template"
	"io/fs"
	"net/http"
	"path"

	"github.com/labstack/echo/v4"
)

//go:embed assets openapi.yaml
var embedded embed.FS

// assets are the parts of the pages, read once.
type assets struct {
	pages *template.Template
	files map[string]assetFile
	api   []byte // openapi.yaml
}

type assetFile struct {
	body []byte
	kind string
	tag  string // ETag
}

func loadAssets() (*assets, error) {
	a := &assets{files: map[string]assetFile{}}
	var err error
	if a.pages, err = template.ParseFS(embedded, "assets/*.html"); err != nil {
		return nil, fmt.Errorf("pages: %w", err)
	}
	if a.api, err = embedded.ReadFile("openapi.yaml"); err != nil {
		return nil, fmt.Errorf("pages: %w", err)
	}
	kinds := map[string]string{
		".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml",
	}
	entries, err := fs.ReadDir(embedded, "assets")
	if err != nil {
		return nil, fmt.Errorf("pages: %w", err)
	}
	for _, entry := range entries {
		kind := kinds[path.Ext(entry.Name())]
		if kind == "" {
			continue
		}
		body, err := embedded.ReadFile("assets/" + entry.Name())
		if err != nil {
			return nil, fmt.Errorf("pages: %w", err)
		}
		sum := sha256.Sum256(body)
		a.files[entry.Name()] = assetFile{body: body, kind: kind, tag: `"` + hex.EncodeToString(sum[:8]) + `"`}
	}
	return a, nil
}

func (a *Admin) page(c echo.Context, status int, name string, data any) error {
	var out bytes.Buffer
	if err := a.assets.pages.ExecuteTemplate(&out, name, data); err != nil {
		return fmt.Errorf("page %s: %w", name, err)
	}
	noStore(c)
	return c.HTMLBlob(status, out.Bytes())
}

func (a *Admin) dashboard(c echo.Context) error {
	return a.page(c, http.StatusOK, "dashboard.html", map[string]any{
		"Version": a.opts.Version,
		"Demo":    a.opts.Demo != nil,
		"Logout":  a.opts.Token.Set() && reachedAt(c.Request()) != placeUnix,
	})
}

func (a *Admin) asset(c echo.Context) error {
	f, ok := a.assets.files[c.Param("file")]
	if !ok {
		return echo.ErrNotFound
	}
	h := c.Response().Header()
	h.Set("Cache-Control", "no-cache") // the browser asks each time, and mostly gets a 304
	h.Set("ETag", f.tag)
	if c.Request().Header.Get("If-None-Match") == f.tag {
		return c.NoContent(http.StatusNotModified)
	}
	return c.Blob(http.StatusOK, f.kind, f.body)
}

func (a *Admin) openapi(c echo.Context) error {
	noStore(c)
	return c.Blob(http.StatusOK, "application/yaml", a.assets.api)
}

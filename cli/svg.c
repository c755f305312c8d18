/* svg.c -- charts as inline SVG.  Coordinates are those of the view box, 0..WIDTH by 0..HEIGHT with
 * y downwards; ticks are multiples of 1, 2 or 5 times a power of ten, or powers of ten where the
 * axis is logarithmic.  Tooltips are <title> elements, so that the page needs no script. */
#include "svg.h"

#include <math.h>
#include <string.h>

enum { WIDTH = 560, HEIGHT = 300, LEFT = 62, RIGHT = 18, TOP = 14, BOTTOM = 44 };
enum { MAX_TICKS = 24, LINE_POINTS = 400, MARKS = 60, TICK_BYTES = 32 };

typedef struct axis {
    double low, high; /* of the data with a margin; log10 of them where `logarithmic` */
    double from, to;  /* in the view box */
    bool   logarithmic, percent;
    double ticks[MAX_TICKS];
    size_t n_ticks;
    double step;
} axis;

void html_text(FILE *f, const char *text)
{
    for (; *text; text++) {
        switch (*text) {
        case '&': fputs("&amp;", f); break;
        case '<': fputs("&lt;", f); break;
        case '>': fputs("&gt;", f); break;
        case '"': fputs("&quot;", f); break;
        case '\'': fputs("&#39;", f); break;
        default: fputc(*text, f); break;
        }
    }
}

/* ---- axes ---- */

static double nice_step(double range, int about)
{
    double rough = range / about, power = pow(10, floor(log10(rough)));
    double part = rough / power;
    return power * (part < 1.5 ? 1 : part < 3.5 ? 2 : part < 7.5 ? 5 : 10);
}

static void ticks_linear(axis *a, int about)
{
    a->step = nice_step(a->high - a->low, about);
    for (double i = ceil(a->low / a->step - 1e-9); a->n_ticks < MAX_TICKS; i++) {
        double v = i * a->step;
        if (v > a->high + 1e-9 * a->step) break;
        a->ticks[a->n_ticks++] = v;
    }
}

/* Powers of ten; with few decades also 2 and 5 times them. */
static void ticks_log(axis *a)
{
    double decades = a->high - a->low;
    double every   = ceil(decades / 8);
    for (double d = floor(a->low); d <= a->high; d += every < 1 ? 1 : every) {
        static const double times[] = {1, 2, 5};
        for (size_t i = 0; i < (decades < 3 ? 3u : 1u); i++) {
            double v = d + log10(times[i]);
            if (v >= a->low && v <= a->high && a->n_ticks < MAX_TICKS) a->ticks[a->n_ticks++] = v;
        }
    }
}

static double place(const axis *a, double value)
{
    double v = a->logarithmic ? log10(value) : value;
    return a->from + (v - a->low) / (a->high - a->low) * (a->to - a->from);
}

static const char *tick_text(const axis *a, double tick, char *buf)
{
    if (a->logarithmic) {
        snprintf(buf, TICK_BYTES, "%g", pow(10, tick));
        return buf;
    }
    double      largest  = fmax(fabs(a->low), fabs(a->high));
    double      unit     = a->percent       ? 0.01
                           : largest >= 1e9 ? 1e9
                           : largest >= 1e6 ? 1e6
                           : largest >= 1e4 ? 1e3
                                            : 1;
    const char *suffix   = a->percent    ? " %"
                           : unit == 1e9 ? "G"
                           : unit == 1e6 ? "M"
                           : unit == 1e3 ? "k"
                                         : "";
    double      decimals = -floor(log10(a->step / unit) + 1e-9);
    int         digits   = decimals > 0 ? (decimals < 8 ? (int)decimals : 8) : 0;
    double      shown    = tick / unit;
    if (fabs(shown) < 1e-12) {
        snprintf(buf, TICK_BYTES, "0%s", a->percent ? suffix : "");
    } else {
        snprintf(buf, TICK_BYTES, "%.*f%s", digits, shown, suffix);
    }
    return buf;
}

static void open_svg(FILE *f, int height, const char *label)
{
    fprintf(f, "<svg viewBox=\"0 0 %d %d\" role=\"img\" aria-label=\"", WIDTH, height);
    html_text(f, label);
    fputs("\">\n", f);
}

static void draw_axes(FILE *f, const axis *x, const axis *y, const char *x_label,
                      const char *y_label)
{
    char text[TICK_BYTES];
    for (size_t i = 0; i < y->n_ticks; i++) {
        double at = y->from + (y->ticks[i] - y->low) / (y->high - y->low) * (y->to - y->from);
        fprintf(f, "<line class=\"grid\" x1=\"%d\" x2=\"%d\" y1=\"%.1f\" y2=\"%.1f\"/>", LEFT,
                WIDTH - RIGHT, at, at);
        fprintf(f, "<text class=\"tick\" x=\"%d\" y=\"%.1f\" text-anchor=\"end\">%s</text>\n",
                LEFT - 8, at + 4, tick_text(y, y->ticks[i], text));
    }
    for (size_t i = 0; x && i < x->n_ticks; i++) {
        double at = place(x, x->ticks[i]);
        fprintf(f, "<line class=\"axis\" x1=\"%.1f\" x2=\"%.1f\" y1=\"%d\" y2=\"%d\"/>", at, at,
                HEIGHT - BOTTOM, HEIGHT - BOTTOM + 4);
        fprintf(f, "<text class=\"tick\" x=\"%.1f\" y=\"%d\" text-anchor=\"middle\">%s</text>\n",
                at, HEIGHT - BOTTOM + 18, tick_text(x, x->ticks[i], text));
    }
    fprintf(f, "<line class=\"axis\" x1=\"%d\" x2=\"%d\" y1=\"%d\" y2=\"%d\"/>\n", LEFT,
            WIDTH - RIGHT, HEIGHT - BOTTOM, HEIGHT - BOTTOM);
    fprintf(f, "<text class=\"label\" x=\"%d\" y=\"%d\" text-anchor=\"middle\">",
            (LEFT + WIDTH - RIGHT) / 2, HEIGHT - 6);
    html_text(f, x_label);
    fprintf(f,
            "</text><text class=\"label\" text-anchor=\"middle\" transform=\"translate(13 %d) "
            "rotate(-90)\">",
            (TOP + HEIGHT - BOTTOM) / 2);
    html_text(f, y_label);
    fputs("</text>\n", f);
}

/* ---- lines ---- */

static bool usable(const svg_series *s, size_t i)
{
    return isfinite(s->x[i]) && isfinite(s->y[i]);
}

static bool span(const svg_chart *c, axis *x, axis *y)
{
    bool   any      = false;
    double smallest = INFINITY; /* positive y */
    x->low = y->low = INFINITY;
    x->high = y->high = -INFINITY;
    for (size_t k = 0; k < c->n; k++) {
        for (size_t i = 0; i < c->series[k].n; i++) {
            if (!usable(&c->series[k], i)) continue;
            any     = true;
            x->low  = fmin(x->low, c->series[k].x[i]);
            x->high = fmax(x->high, c->series[k].x[i]);
            y->low  = fmin(y->low, c->series[k].y[i]);
            y->high = fmax(y->high, c->series[k].y[i]);
            if (c->series[k].y[i] > 0) smallest = fmin(smallest, c->series[k].y[i]);
        }
    }
    if (!any) return false;
    if (isfinite(c->mark)) {
        y->low  = fmin(y->low, c->mark);
        y->high = fmax(y->high, c->mark);
    }
    y->logarithmic = c->may_log && smallest == y->low && y->high / y->low >= 30;
    return true;
}

static void scale(axis *x, axis *y)
{
    x->low = fmin(x->low, 0); /* runs start at nought */
    if (x->high <= x->low) x->high = x->low + 1;
    if (y->logarithmic) {
        y->low  = log10(y->low);
        y->high = log10(y->high);
    }
    double margin = 0.06 * (y->high - y->low);
    if (margin <= 0) margin = fabs(y->high) > 0 ? 0.1 * fabs(y->high) : 1;
    bool positive = y->low >= 0 && !y->logarithmic;
    bool part     = y->percent && y->high <= 1;
    y->low -= margin;
    y->high += margin;
    if (positive) y->low = fmax(y->low, 0);
    if (part) y->high = fmin(y->high, 1);
    ticks_linear(x, 6);
    if (y->logarithmic) {
        ticks_log(y);
    } else {
        ticks_linear(y, 5);
    }
}

static void draw_series(FILE *f, const svg_chart *c, const svg_series *s, const axis *x,
                        const axis *y)
{
    size_t      step = s->n / LINE_POINTS + 1, every = s->n / MARKS + 1, last = s->n;
    const char *dash = s->number >= SVG_COLOURS ? " dashed" : "";
    for (size_t i = 0; i < s->n; i++) {
        if (usable(s, i)) last = i;
    }
    if (last == s->n) return;
    fprintf(f, "<polyline class=\"line c%zu%s\" points=\"", s->number % SVG_COLOURS, dash);
    for (size_t i = 0; i <= last; i++) {
        if (!usable(s, i) || (i % step && i != last)) continue;
        fprintf(f, "%.1f,%.1f ", place(x, s->x[i]), place(y, s->y[i]));
    }
    fputs("\"/>\n", f);
    for (size_t i = 0; i <= last; i++) {
        if (!usable(s, i) || (i % every && i != last)) continue;
        double cx = place(x, s->x[i]), cy = place(y, s->y[i]);
        if (every == 1 || i == last) {
            fprintf(f, "<circle class=\"dot c%zu\" cx=\"%.1f\" cy=\"%.1f\" r=\"2.6\"/>",
                    s->number % SVG_COLOURS, cx, cy);
        }
        fprintf(f, "<circle class=\"hit\" cx=\"%.1f\" cy=\"%.1f\" r=\"8\"><title>", cx, cy);
        html_text(f, s->name);
        fprintf(f, "\n%s: %.6g\n%s: %.6g</title></circle>\n", c->x_label, s->x[i], c->y_label,
                s->y[i]);
    }
}

void svg_lines(FILE *f, const svg_chart *c)
{
    axis x = {.from = LEFT, .to = WIDTH - RIGHT};
    axis y = {.from = HEIGHT - BOTTOM, .to = TOP, .percent = c->percent};
    if (!span(c, &x, &y)) {
        fputs("<p class=\"none\">no points</p>\n", f);
        return;
    }
    scale(&x, &y);
    open_svg(f, HEIGHT, c->y_label);
    draw_axes(f, &x, &y, c->x_label, c->y_label);
    if (isfinite(c->mark)) {
        double at = place(&y, c->mark);
        fprintf(f,
                "<line class=\"mark\" x1=\"%d\" x2=\"%d\" y1=\"%.1f\" y2=\"%.1f\"/>"
                "<text class=\"tick\" x=\"%d\" y=\"%.1f\">target</text>\n",
                LEFT, WIDTH - RIGHT, at, at, LEFT + 6, at - 5);
    }
    for (size_t k = 0; k < c->n; k++) draw_series(f, c, &c->series[k], &x, &y);
    fputs("</svg>\n", f);
}

/* ---- bars ---- */

void svg_histogram(FILE *f, const char *x_label, const char *y_label, const svg_bar *bars, size_t n,
                   size_t number)
{
    axis   y     = {.from = HEIGHT - BOTTOM, .to = TOP, .percent = true};
    double width = (double)(WIDTH - LEFT - RIGHT) / (double)(n ? n : 1);
    size_t every = 1;
    for (size_t i = 0; i < n; i++) y.high = fmax(y.high, bars[i].value);
    y.high = y.high > 0 ? 1.05 * y.high : 1;
    if (y.high > 1) y.high = 1;
    while (width * (double)every < 34) every++;
    ticks_linear(&y, 5);
    open_svg(f, HEIGHT, x_label);
    draw_axes(f, NULL, &y, x_label, y_label);
    for (size_t i = 0; i < n; i++) {
        double left = LEFT + width * (double)i, top = place(&y, bars[i].value);
        double gap = width > 6 ? 1.5 : 0.3;
        fprintf(f,
                "<rect class=\"bar c%zu\" x=\"%.2f\" y=\"%.2f\" width=\"%.2f\" height=\"%.2f\" "
                "rx=\"%d\"/>",
                number % SVG_COLOURS, left + gap, top, width - 2 * gap, y.from - top,
                width > 10 ? 2 : 0);
        fprintf(f, "<rect class=\"hit\" x=\"%.2f\" y=\"%d\" width=\"%.2f\" height=\"%d\"><title>",
                left, TOP, width, HEIGHT - TOP - BOTTOM);
        html_text(f, bars[i].tip);
        fputs("</title></rect>\n", f);
        if (i % every) continue;
        fprintf(f, "<text class=\"tick\" x=\"%.1f\" y=\"%d\" text-anchor=\"middle\">",
                left + width / 2, HEIGHT - BOTTOM + 18);
        html_text(f, bars[i].label);
        fputs("</text>\n", f);
    }
    fputs("</svg>\n", f);
}

void svg_rows(FILE *f, const svg_row *rows, size_t n)
{
    enum { ROW = 34, NAMES = 190, VALUES = 90 };
    double most = 0;
    for (size_t i = 0; i < n; i++) most = fmax(most, rows[i].value);
    open_svg(f, (int)n * ROW + 8, "bars");
    for (size_t i = 0; i < n; i++) {
        double width = most > 0 ? rows[i].value / most * (WIDTH - NAMES - VALUES) : 0;
        int    top   = (int)i * ROW + 4;
        fprintf(f, "<text class=\"name\" x=\"%d\" y=\"%d\" text-anchor=\"end\">", NAMES - 10,
                top + 18);
        html_text(f, rows[i].name);
        fprintf(f,
                "</text><rect class=\"bar c%zu\" x=\"%d\" y=\"%d\" width=\"%.1f\" height=\"%d\" "
                "rx=\"3\"/>",
                rows[i].number % SVG_COLOURS, NAMES, top + 4, fmax(width, 1), ROW - 14);
        fprintf(f, "<text class=\"name\" x=\"%.1f\" y=\"%d\">", NAMES + width + 8, top + 18);
        html_text(f, rows[i].text);
        fputs("</text>\n", f);
    }
    fputs("</svg>\n", f);
}

void svg_shares(FILE *f, const char *name, const uint64_t *parts, size_t n, size_t number)
{
    enum { TALL = 26 };
    double all = 0, left = 0;
    for (size_t i = 0; i < n; i++) all += (double)parts[i];
    fputs("<div class=\"share\"><div class=\"share-name\">", f);
    html_text(f, name);
    fprintf(f, "</div><svg viewBox=\"0 0 %d %d\" role=\"img\" aria-label=\"shares\">\n", WIDTH,
            TALL);
    for (size_t i = 0; i < n && all > 0; i++) {
        double part = (double)parts[i] / all, width = part * WIDTH;
        fprintf(f,
                "<rect class=\"bar c%zu shade%zu\" x=\"%.2f\" y=\"0\" width=\"%.2f\" "
                "height=\"%d\" rx=\"2\"><title>worker %zu: %llu examples, %.1f %%</title></rect>",
                number % SVG_COLOURS, i % 2, left + 0.5, fmax(width - 1, 0.2), TALL, i,
                (unsigned long long)parts[i], 100 * part);
        if (width > 54) {
            fprintf(f,
                    "<text class=\"inside\" x=\"%.1f\" y=\"%d\" text-anchor=\"middle\">w%zu "
                    "%.0f %%</text>",
                    left + width / 2, TALL / 2 + 4, i, 100 * part);
        }
        left += width;
    }
    fputs("</svg></div>\n", f);
}

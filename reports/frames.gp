# Grouped bars, one group a frame load, one bar a variant; log scale, since first-fit
# scans are slower by powers of ten. Data: first row column heads, then load, value per
# variant ("?" = none). Presets are saturated, policies of the pagemill preset pastel.
set terminal svg size 960,520 dynamic noenhanced font "sans-serif,12" background "#ffffff"
set output output
set style data histograms
set style histogram clustered gap 2
set style fill solid 0.9 noborder
set datafile missing "?"
set datafile separator "\t"
set logscale y
set grid ytics lc "#dddddd"
set border 3
set rmargin 6
set key outside top center horizontal font ",10"
set xtics rotate by -20 nomirror
set ytics nomirror
set ylabel "ns a pair (log)"
set linetype 1 lc "#4477aa"
set linetype 2 lc "#ee6677"
set linetype 3 lc "#228833"
set linetype 4 lc "#ccbb44"
set linetype 5 lc "#77aadd"
set linetype 6 lc "#99ddff"
set linetype 7 lc "#44bb99"
set linetype 8 lc "#bbcc33"
set linetype 9 lc "#aaaa00"
set linetype 10 lc "#eedd88"
set linetype 11 lc "#ee8866"
set linetype 12 lc "#ffaabb"
set linetype 13 lc "#888888"
set linetype 14 lc "#555555"
plot for [i=2:columns] data using i:xtic(1) title columnhead(i)

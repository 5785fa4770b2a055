# Grouped bars, one group a workload, one bar a variant; log scale, since the
# slow presets are slower by powers of ten. Data: first row column heads, then
# workload, value per variant ("?" = none).
set terminal svg size 960,420 dynamic noenhanced font "sans-serif,12" background "#ffffff"
set output output
set style data histograms
set style histogram clustered gap 1.5
set style fill solid 0.9 noborder
set datafile missing "?"
set datafile separator "\t"
set logscale y
set grid ytics lc "#dddddd"
set border 3
set rmargin 9
set key outside top center horizontal
set xtics rotate by -20 nomirror
set ytics nomirror
set ylabel "ns per operation pair (log)"
set linetype 1 lc "#4477aa"
set linetype 2 lc "#ee6677"
set linetype 3 lc "#228833"
set linetype 4 lc "#ccbb44"
plot for [i=2:columns] data using i:xtic(1) title columnhead(i)

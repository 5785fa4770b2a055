# Latency percentiles on a log-nines axis. Data: blocks of "percentile value",
# separated by two blank lines, each headed by its name.
set terminal svg size 960,420 dynamic noenhanced font "sans-serif,12" background "#ffffff"
set output output
set nonlinear x via -log10(1-x/100.) inverse 100.*(1-10**(-x))
set logscale y
set yrange [1:*]
set linetype 1 lc "#4477aa"
set linetype 2 lc "#ee6677"
set linetype 3 lc "#228833"
set linetype 4 lc "#ccbb44"
set linetype 5 lc "#77aadd"
set linetype 6 lc "#99ddff"
set linetype 7 lc "#44bb99"
set linetype 8 lc "#bbcc33"
set linetype 9 lc "#aaaa00"
set linetype 10 lc "#aa3377"
set linetype 11 lc "#ee8866"
set linetype 12 lc "#222222"
set xrange [0:99.99]
set xtics (0, 50, 90, 99, 99.9, 99.99)
set grid lc "#dddddd"
set border 3
set key outside top center horizontal
set xlabel "percentile"
set ylabel "ns for one allocation, timer included (log)"
plot for [i=0:blocks-1] data index i using 1:2 with steps lw 2 title columnhead(1)

# Counted instructions in our kernels beside Linux in the same QEMU, log scale.
set terminal svg size 960,460 dynamic noenhanced font "sans-serif,12" background "#ffffff"
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
set xtics rotate by -25 nomirror
set ytics nomirror
set ylabel "instructions (log)"
set linetype 1 lc "#4477aa"
set linetype 2 lc "#66ccee"
set linetype 3 lc "#bbbbbb"
set linetype 4 lc "#888888"
plot for [i=2:columns] data using i:xtic(1) title columnhead(i)
